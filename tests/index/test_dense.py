"""The dense vectors of an embedded version, and the search among them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from resolver.errors import IndexProblem
from resolver.index.dense import SPARE, TOGETHER, DenseFiles, DenseSearch, DenseWriter

Vectors = npt.NDArray[np.float32]

DIMENSION = 24


def points(count: int, first: int = 0) -> list[UUID]:
    """Ids in another order than their numbers, as hashes are."""
    return [UUID(int=(i * 0x9E3779B97F4A7C15F39CC0605CEDC835) % 2**128) for i in
            range(first, first + count)]  # fmt: skip


def vectors(count: int, seed: int = 0) -> Vectors:
    drawn = np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def written(folder: Path, ids: Sequence[UUID], of: Vectors, version: str = "v1") -> DenseSearch:
    writer = DenseWriter(folder, of.shape[1], None)
    for start in range(0, len(ids), 1000):
        writer.add(ids[start : start + 1000], list(of[start : start + 1000]))
    assert writer.finish(version) == len(ids)
    return DenseSearch(DenseFiles(folder, version))


Found = tuple[list[int], list[float]]


def exactly(ids: Sequence[UUID], of: Vectors, query: Vectors, limit: int) -> Found:
    scores = np.vecdot(of, query)
    best = sorted(range(len(ids)), key=lambda i: (-scores[i], ids[i].int))[:limit]
    return [ids[i].int for i in best], [float(scores[i]) for i in best]


def nearest(search: DenseSearch, queries: Sequence[Vectors], limit: int) -> list[Found]:
    found = search.nearest(queries, limit=limit)
    return [
        ([int.from_bytes(search._files.points[name].tobytes()) for name in names], scores.tolist())
        for names, scores in found
    ]


@pytest.mark.parametrize("count", [1, 40, 4_096, 4_097, 10_000])
@pytest.mark.parametrize("limit", [1, 100])
def test_it_finds_what_an_exact_search_finds(tmp_path: Path, count: int, limit: int) -> None:
    ids, of, queries = points(count), vectors(count), vectors(TOGETHER + 1, seed=1)
    search = written(tmp_path, ids, of)
    found = nearest(search, list(queries), limit)
    assert found == [exactly(ids, of, query, limit) for query in queries]
    assert [nearest(search, [query], limit)[0] for query in queries] == found
    assert nearest(search, [], limit) == []


def test_names_that_all_point_away_are_found_too(tmp_path: Path) -> None:
    """What fills up the last tile has no product, rather than one of zero."""
    of = np.abs(vectors(300))
    (found,) = nearest(written(tmp_path, points(300), of), [-of[7]], 100)
    assert found == exactly(points(300), of, -of[7], 100)


def test_equal_scores_come_by_their_points_whatever_is_left_out(tmp_path: Path) -> None:
    of = np.repeat(vectors(20), 50, axis=0)
    search = written(tmp_path, points(1000), of)
    for query in of[::50]:
        (found,) = nearest(search, [query], 30)
        assert found == exactly(points(1000), of, query, 30)


@pytest.mark.parametrize(
    "of",
    [np.zeros((200, DIMENSION), np.float32), np.eye(DIMENSION, dtype=np.float32)],
    ids=["zeros", "axes"],
)
def test_vectors_without_a_length_are_no_error(tmp_path: Path, of: Vectors) -> None:
    ids = points(len(of))
    search = written(tmp_path, ids, of)
    for query in (of[0], np.zeros(DIMENSION, np.float32)):
        assert nearest(search, [query], 5) == [exactly(ids, of, query, 5)]


def test_no_two_products_exceed_16_bits(tmp_path: Path) -> None:
    """Where a processor adds two of them in 16 bits, none is cut off."""
    of = np.array([[1, 1], [-1, -1], [1, -1]], np.float32)
    search = written(tmp_path, points(3), of)
    seen: list[int] = []
    multiply = search._multiply

    def noted(queries: npt.NDArray[np.int8], products: npt.NDArray[np.int32]) -> object:
        found = multiply(queries, products)
        seen.extend(products[:3].ravel().tolist())
        return found

    search._multiply = noted  # type: ignore[assignment, method-assign]
    nearest(search, list(of), 3)
    limits = np.iinfo(np.int16)
    assert limits.min <= min(seen) < 0.9 * limits.min
    assert 0.9 * limits.max < max(seen) <= limits.max


def test_the_graph_is_onnx(tmp_path: Path) -> None:
    search = written(tmp_path, points(3), vectors(3))
    model = onnx.load_from_string(search._graph())
    onnx.checker.check_model(model, full_check=True)


def test_a_derived_version_has_its_own_vectors(tmp_path: Path) -> None:
    ids, of, new = points(2_000), vectors(2_000), vectors(600, seed=2)
    written(tmp_path, ids, of)
    writer = DenseWriter(tmp_path, DIMENSION, "v1")
    writer.remove(ids[:500])
    writer.add(ids[400:700], list(new[:300]))  # a hundred come back, two hundred are replaced
    writer.add(points(300, first=5_000), list(new[300:]))
    writer.add(ids[600:700], list(new[500:]))  # these once more
    writer.remove(points(10, first=9_000))
    assert writer.finish("v2") == 2_000 - 400 + 300
    here = DenseFiles(tmp_path, "v2")
    derived = {p.tobytes(): v.tolist() for p, v in zip(here.points, here.exact, strict=True)}
    expected = dict(zip(ids, of.tolist(), strict=True))
    for gone in ids[:400]:
        del expected[gone]
    expected |= zip(ids[400:600], new[:200].tolist(), strict=True)
    expected |= zip(ids[600:700], new[500:].tolist(), strict=True)
    expected |= zip(points(300, first=5_000), new[300:].tolist(), strict=True)
    assert derived == {point.bytes: vector for point, vector in expected.items()}
    # To the last byte as if it had been built in full, in any order.
    in_full = dict(reversed(expected.items()))
    written(tmp_path / "full", list(in_full), np.array(list(in_full.values()), np.float32), "v2")
    for file in (tmp_path / "full").iterdir():
        assert file.read_bytes() == (tmp_path / file.name).read_bytes()
    assert len(list((tmp_path / "full").iterdir())) == len(
        [path for path in tmp_path.iterdir() if path.is_file()]
    )


def test_a_version_may_be_empty(tmp_path: Path) -> None:
    search = written(tmp_path, [], vectors(0))
    assert nearest(search, list(vectors(2)), 3) == [([], []), ([], [])]


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-4])


@pytest.mark.parametrize("harm", [flip, cut, Path.unlink])
@pytest.mark.parametrize(
    "name", ["points.npy", "exact.npy", "rounded.npy", "steps.npy", "contents.json"]
)
def test_damaged_files_are_refused(tmp_path: Path, name: str, harm: object) -> None:
    written(tmp_path, points(50), vectors(50))
    assert callable(harm)
    if (name, harm) == ("contents.json", flip):
        harm = cut
    harm(tmp_path / name)
    with pytest.raises(IndexProblem, match=r"version v1 .*damaged.*resolver index build --force"):
        DenseFiles(tmp_path, "v1")


def test_vectors_of_other_names_are_refused(tmp_path: Path) -> None:
    written(tmp_path, points(50), vectors(50))
    with pytest.raises(IndexProblem, match=r"version v2 are damaged: they are of version v1"):
        DenseFiles(tmp_path, "v2")
    files = DenseFiles(tmp_path, "v1")
    files.require(points=50, dimension=DIMENSION)
    for count, dimension in ((51, DIMENSION), (50, 96)):
        with pytest.raises(IndexProblem, match=r"they are \(50, 24\)"):
            files.require(points=count, dimension=dimension)


def test_spare_names_cover_what_rounding_moves(tmp_path: Path) -> None:
    """The last that is wanted is never as far down as the last that is scored exactly."""
    ids, of, queries = points(20_000), vectors(20_000), vectors(20, seed=3)
    search = written(tmp_path, ids, of)
    wanted = nearest(search, list(queries), 100)
    more = nearest(search, list(queries), 100 + 10 * SPARE)
    assert [found[:100] for found, _ in more] == [found for found, _ in wanted]
    assert json.loads((tmp_path / "contents.json").read_text())["version"] == "v1"
