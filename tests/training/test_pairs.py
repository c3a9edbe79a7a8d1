from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from resolver.errors import GoldError
from resolver.matching.candidate import Candidate
from resolver.matching.sieve import COLUMNS, Sieve
from resolver.matching.trees import Trees
from resolver.registry.document import Document, documents
from resolver.registry.organisation import (
    Name,
    NameKind,
    Organisation,
    OrganisationStatus,
    Place,
    Relation,
    RelationKind,
)
from resolver.reranker import Calibration, Pair
from resolver.training.pairs import (
    CITY_LEFT_OUT,
    Labelled,
    LabelledPair,
    fold,
    held_out,
    pairs,
    read_labelled,
    split,
    verdict,
)


def organisation(
    ror_id: str,
    *names: str,
    country: str = "Norway",
    city: str | None = None,
    relations: tuple[tuple[RelationKind, str], ...] = (),
) -> Organisation:
    first, *others = names
    return Organisation(
        ror_id,
        OrganisationStatus.ACTIVE,
        (
            Name(first, frozenset({NameKind.DISPLAY})),
            *(Name(name, frozenset({NameKind.ALIAS})) for name in others),
        ),
        places=(Place(country[:2].upper(), country, city),),
        relations=tuple(Relation(kind, other, "") for kind, other in relations),
    )


OSLO = organisation(
    "uio",
    "University of Oslo",
    "Universitetet",
    city="Oslo",
    relations=((RelationKind.RELATED, "ous"), (RelationKind.CHILD, "nhm")),
)
REGISTRY = {
    o.ror_id: o
    for o in (
        OSLO,
        organisation("ous", "Oslo University Hospital", city="Oslo"),
        organisation("nhm", "Natural History Museum of the University", city="Oslo"),
        organisation("bergen", "University of Bergen", city="Bergen"),
        organisation("physics-osl", "Institute of Physics", city="Oslo"),
        organisation("physics-gb", "Institute of Physics", country="United Kingdom", city="London"),
        organisation("physics-trd", "Institute of Physics", city="Trondheim"),
        organisation("twin", "University of Oslo", country="United States", city="Minneapolis"),
        organisation("namesake", "Universitetet", country="Sweden", city="Lund"),
    )
}


@pytest.mark.parametrize(
    ("candidate", "expected"), [("uio", 1), ("ous", None), ("bergen", 0), ("nhm", 0)]
)
def test_the_verdict_of_complete_labels_is_what_they_say(
    candidate: str, expected: int | None
) -> None:
    item = Labelled(
        "Natural History Museum, Oslo University Hospital, University of Oslo, University of Bergen",
        frozenset({"uio"}),
        complete=True,
        maybe=frozenset({"ous"}),
    )
    document = next(iter(documents(REGISTRY[candidate])))
    assert verdict(item, document, REGISTRY) == expected


@pytest.mark.parametrize(
    ("affiliation", "candidate", "certain", "expected"),
    [
        ("University of Oslo, Norway", "uio", False, 1),
        ("University of Oslo, Norway", "bergen", False, 0),
        ("University of Oslo, University of Bergen", "bergen", False, None),
        ("University of Oslo, University of Bergen", "bergen", True, 0),
        ("University of Oslo, Norway", "ous", False, 0),
        ("Oslo University Hospital, University of Oslo", "ous", False, None),
        ("Natural History Museum, University of Oslo", "nhm", False, None),
        ("Department, University of Oslo", "nhm", False, 0),
        ("Institute of Physics, University of Oslo", "physics-osl", False, None),
        ("Institute of Physics, University of Oslo", "physics-gb", False, 0),
        ("Institute of Physics, University of Oslo", "physics-trd", False, None),
        ("University of Oslo, Institute of Physics, Trondheim", "physics-trd", False, None),
        ("University of Oslo", "twin", False, 0),
        ("Universitetet, Department of Law", "namesake", True, None),
        ("Universitetet, Department of Law, Norway", "namesake", True, 0),
        ("Universitetet, Department of Law, Oslo", "namesake", True, 0),
    ],
)
def test_verdict(affiliation: str, candidate: str, certain: bool, expected: int | None) -> None:
    item = Labelled(affiliation, frozenset({"uio"}), certain)
    document = next(iter(documents(REGISTRY[candidate])))
    assert verdict(item, document, REGISTRY) == expected


class EveryName:
    """A first stage that brings every name of the registry, in its order."""

    def candidates(self, texts: Sequence[str], *, depth: int) -> list[list[Candidate]]:
        found: list[Document] = [next(iter(documents(o))) for o in REGISTRY.values()]
        return [[Candidate(d, None, None, 0.0) for d in found][:depth] for _ in texts]


GOLD = [
    Labelled("Department, University of Oslo, Norway", frozenset({"uio"})),
    Labelled("Nowhere", frozenset()),
]


@pytest.fixture
def whole_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """No city is left out."""
    for label in CITY_LEFT_OUT:
        monkeypatch.setitem(CITY_LEFT_OUT, label, 0.0)


def test_cities_are_left_out_of_right_and_of_wrong_documents() -> None:
    made = list(pairs(GOLD * 200, REGISTRY, EveryName(), negatives=3, seed=1))
    for label, share in CITY_LEFT_OUT.items():
        shown = [p.document for p in made if p.label == label and "Oslo" in p.document]
        with_city = sum(", Oslo, " in text for text in shown)
        assert with_city / len(shown) == pytest.approx(1 - share, abs=0.1)


@pytest.mark.usefixtures("whole_places")
def test_pairs_are_right_ones_and_sure_wrong_ones() -> None:
    assert not any(held_out(ror_id) for ror_id in REGISTRY)
    made = list(pairs(GOLD, REGISTRY, EveryName(), negatives=3, seed=1))
    assert LabelledPair(GOLD[0].affiliation, "University of Oslo, Oslo, Norway", 1) in made
    assert {p.label for p in made if p.affiliation == "Nowhere"} == {0}
    assert sum(p.label == 0 for p in made) == 6
    right = {d.text for d in documents(OSLO)}
    assert {p.document for p in made if p.label} <= right
    assert not right & {p.document for p in made if not p.label and p.affiliation != "Nowhere"}


def test_pairs_repeat_with_the_seed() -> None:
    first, again, other = (
        list(pairs(GOLD * 5, REGISTRY, EveryName(), negatives=3, seed=seed)) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


class LongestFirst:
    """A reranker for which a longer document is a better match."""

    name = fingerprint = "longest"
    calibration = Calibration()
    truncated = 0

    def score(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float32]:
        return np.array([len(document) for _, document in pairs], np.float32)


@pytest.mark.usefixtures("whole_places")
def test_the_hardest_negatives_are_those_that_a_reranker_scores_highest() -> None:
    by_length = sorted(
        (p.document for p in pairs(GOLD[1:], REGISTRY, EveryName(), negatives=99, seed=1)),
        key=len,
        reverse=True,
    )
    for hardest in (1, 3):
        made = pairs(
            GOLD[1:],
            REGISTRY,
            EveryName(),
            negatives=hardest,
            hardest=hardest,
            seed=1,
            reranker=LongestFirst(),
        )
        assert [len(p.document) for p in made] == [len(text) for text in by_length[:hardest]]


@pytest.mark.usefixtures("whole_places")
def test_what_the_sieve_passes_is_harder_than_what_it_does_not() -> None:
    item = Labelled("Institute of Physics", frozenset(), complete=True)
    # One tree: a candidate passes when the string has all of its name.
    whole = Sieve(
        Trees(
            COLUMNS,
            roots=np.array([0]),
            feature=np.array([COLUMNS.index("coverage"), -1, -1]),
            threshold=np.array([0.9, 0.0, 0.0]),
            left=np.array([1, -1, -1]),
            right=np.array([2, -1, -1]),
            value=np.array([0.0, -50.0, 5.0]),
        )
    )
    scored: list[Pair] = []

    class Noting(LongestFirst):
        def score(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float32]:
            scored.extend(pairs)
            return super().score(pairs)

    made = list(
        pairs(
            [item],
            REGISTRY,
            EveryName(),
            negatives=3,
            hardest=3,
            seed=1,
            reranker=Noting(),
            sieve=whole,
        )
    )
    assert [p.document for p in made] == [
        "Institute of Physics, London, United Kingdom",
        "Institute of Physics, Trondheim, Norway",
        "Institute of Physics, Oslo, Norway",
    ]
    assert sorted(scored) == sorted((item.affiliation, p.document) for p in made)


def test_held_out_organisations_take_no_part() -> None:
    ids = [f"org{i}" for i in range(2000)]
    out = [ror_id for ror_id in ids if held_out(ror_id)]
    assert 0.03 < len(out) / len(ids) < 0.07
    gold = [Labelled(ror_id, frozenset({ror_id})) for ror_id in ids]
    train, rest = split(gold)
    assert {i.affiliation for i in rest} == set(out)
    assert len(train) + len(rest) == len(gold)
    registry = {out[0]: organisation(out[0], "University of Oslo")}
    item = Labelled("University of Oslo", frozenset(out[:1]))

    class Finds:
        def candidates(self, texts: Sequence[str], *, depth: int) -> list[list[Candidate]]:
            document = next(iter(documents(registry[out[0]])))
            return [[Candidate(document, None, None, 0.0)] for _ in texts]

    assert list(pairs([item], registry, Finds(), negatives=3, seed=1)) == []
    other = Labelled("Elsewhere", frozenset())
    assert list(pairs([other], registry, Finds(), negatives=3, seed=1)) == []


def test_read_labelled(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_text(
        '{"affiliation": "Texas A&amp;M", "ror_ids": ["https://ror.org/01f5ytq51"]}\n\n'
        '{"affiliation": "<b></b>", "ror_ids": []}\n'
        f'{{"affiliation": "{"x" * 10_001}", "ror_ids": ["01f5ytq51"]}}\n'
        '{"affiliation": "Nowhere", "ror_ids": []}\n'
    )
    assert read_labelled(path) == [
        Labelled("Texas A&M", frozenset({"01f5ytq51"})),
        Labelled("Nowhere", frozenset()),
    ]
    assert "2 strings are empty or too long, and left out" in caplog.text


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"affiliation": "x"}', '{"affiliation": 1, "ror_ids": []}']
)
def test_a_line_of_another_form_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_text('{"affiliation": "x", "ror_ids": []}\n' + line + "\n")
    with pytest.raises(GoldError, match=r"gold\.jsonl:2:"):
        read_labelled(path)


def test_folds_share_the_strings_out() -> None:
    texts = [f"University {i}" for i in range(600)]
    found = [fold(text, 3) for text in texts]
    assert set(found) == {0, 1, 2}
    assert max(found.count(number) for number in range(3)) < 260
    assert found == [fold(text, 3) for text in texts]


def test_labels_are_complete_where_the_line_or_the_source_says_so(tmp_path: Path) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_text(
        '{"affiliation": "a", "ror_ids": [], "source": "asserted"}\n'
        '{"affiliation": "b", "ror_ids": [], "source": "curated"}\n'
        '{"affiliation": "c", "ror_ids": [], "maybe": ["052gg0110"], "not": []}\n'
        '{"affiliation": "d", "ror_ids": [], "source": "asserted", "not": ["052gg0110"]}\n'
        '{"affiliation": "e", "ror_ids": []}\n'
    )
    labelled = read_labelled(path, {"curated"})
    assert [item.complete for item in labelled] == [False, True, True, True, False]
    assert [item.maybe for item in labelled if item.maybe] == [{"052gg0110"}]


@pytest.mark.parametrize(
    "line",
    [
        '{"affiliation": "x", "ror_ids": [], "maybe": "052gg0110"}',
        '{"affiliation": "x", "ror_ids": [], "maybe": ["x"]}',
        '{"affiliation": "x", "ror_ids": [], "asserted": null}',
    ],
)
def test_other_labels_must_be_lists_of_ror_ids(tmp_path: Path, line: str) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(GoldError, match=r"gold\.jsonl:1: (maybe|asserted)"):
        read_labelled(path)
