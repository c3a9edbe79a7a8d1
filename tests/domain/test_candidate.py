import pytest

from resolver.domain.candidate import MAX_SEGMENTS, fuse, segments
from resolver.domain.document import Document


def document(ror_id: str, name: str = "") -> Document:
    return Document(ror_id, name or ror_id, ror_id, False, None, None, None, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("University of Bonn", []),
        ("Univ. Bonn, 53115 Bonn", ["Univ. Bonn", "53115 Bonn"]),
        ("Univ. Bonn, 53115, 12", ["Univ. Bonn"]),
        ("CNRS; ENS - Lyon", ["CNRS", "ENS", "Lyon"]),
        ("Max-Planck-Institut, Köln", ["Max-Planck-Institut", "Köln"]),
        ("東京大学、東京", ["東京大学", "東京"]),
        (
            "IGBMC, CNRS-INSERM-ULP, Illkirch",
            ["IGBMC", "CNRS-INSERM-ULP", "CNRS", "INSERM", "ULP", "Illkirch"],
        ),
        ("UMR 5631 CNRS-UdS", ["UMR 5631 CNRS-UdS"][:0]),
        ("a, b", []),
        ("", []),
        ("Bonn, Bonn", ["Bonn"]),
    ],
)
def test_segments(text: str, expected: list[str]) -> None:
    assert segments(text) == expected


def test_of_many_segments_the_last_are_kept() -> None:
    parts = [f"part {'x' * i}" for i in range(3, 30)]
    assert segments(", ".join(parts)) == parts[-MAX_SEGMENTS:]


def test_found_by_both_searches_comes_first() -> None:
    a, b, c = document("a"), document("b"), document("c")
    fused = fuse([(a, 9.0), (b, 8.0)], [[(b, 0.9), (c, 0.8)]], depth=10)
    assert [candidate.ror_id for candidate in fused] == ["b", "a", "c"]
    assert fused[0].sparse is not None
    assert fused[0].sparse.rank == 2
    assert fused[0].dense is not None
    assert fused[0].dense.score == 0.9
    assert fused[2].sparse is None


def test_an_organisation_counts_once_and_shows_its_best_name() -> None:
    best, other = document("a", "best"), document("a", "other")
    (candidate, second) = fuse([(best, 9.0), (other, 8.0), (document("b"), 7.0)], [], depth=10)
    assert candidate.document is best
    assert second.sparse is not None
    assert second.sparse.rank == 2


def test_the_best_segment_speaks_for_the_organisation() -> None:
    a, b = document("a"), document("b")
    (first, _) = fuse([], [[(a, 0.5), (b, 0.4)], [(b, 0.99)]], depth=10)
    assert first.ror_id == "b"
    assert first.dense is not None
    assert (first.dense.rank, first.dense.score) == (1, 0.99)


def test_depth_bounds_and_nothing_gives_nothing() -> None:
    found = [(document(str(i)), 1.0 / (i + 1)) for i in range(9)]
    assert len(fuse(found, [], depth=4)) == 4
    assert fuse([], [[]], depth=4) == []
