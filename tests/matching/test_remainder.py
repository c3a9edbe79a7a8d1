import pytest

from resolver.matching.candidate import Candidate
from resolver.matching.reading import Reading
from resolver.matching.remainder import Remainder
from resolver.registry.document import Document
from resolver.text.affiliation import Affiliation


def candidate(name: str, *other_names: str, types: tuple[str, ...] = ()) -> Candidate:
    place = (None, None, None, None)
    document = Document(name, name, name, False, *place, types=types, other_names=other_names)
    return Candidate(document, None, None, 1.0)


def of(text: str, *candidates: Candidate, named: frozenset[int] = frozenset()) -> Remainder:
    """The remainder of the first candidate."""
    return Reading(Affiliation.of(text), candidates).remainder(0, named)


@pytest.mark.parametrize(
    ("text", "organisation", "share"),
    [
        ("Heritage Institute of Technology", candidate("Hooghly Institute of Technology"), 1 / 2),
        ("Hooghly Institute of Technology", candidate("Hooghly Institute of Technology"), 1),
        ("Western Heart Centre, Hobart", candidate("Hobart Heart Centre"), 1 / 2),
        ("Centre for Cancer Research", candidate("Centre for Heart Research"), 1 / 2),
        ("Saveetha Engineering College", candidate("SEC", "Saveetha Engineering College"), 1),
        ("Lab of Zoology, Heart Centre", candidate("Heart Centre"), 1),
        ("Heart Centre Leipzig", candidate("Heart Centre"), 1),
        ("University of Galway", candidate("University of Galway"), 1),
        ("nothing of it", candidate("Heart Centre"), 1),
    ],
)
def test_words_that_no_name_of_it_has_are_left(
    text: str, organisation: Candidate, share: float
) -> None:
    assert of(text, organisation).share == pytest.approx(share)


def test_the_whole_name_of_another_is_not_left() -> None:
    text = "Charité and Harnack House"
    harnack = candidate("Harnack House")
    assert of(text, harnack).rare == 1
    assert of(text, harnack, named=frozenset({0})).rare == 0


@pytest.mark.parametrize(
    ("others", "rare"),
    [((), 1), (("Evatec",), 1 / 2), (("Evatec", "Evatec Laboratory"), 1 / 3)],
)
def test_a_word_that_no_candidate_has_counts_most(others: tuple[str, ...], rare: float) -> None:
    text = "Evatec Process Institute"
    remainder = of(text, candidate("Process Institute"), *map(candidate, others))
    assert remainder.rare == pytest.approx(rare)


@pytest.mark.parametrize(
    ("text", "organisation", "left", "missing"),
    [
        ("University Hospital of Tours", candidate("Université de Tours"), 1, 0),
        ("University Hospital of Tours", candidate("CHU Tours", types=("healthcare",)), 1, 0),
        ("Tours Hospital", candidate("CHU Tours", types=("healthcare",)), 0, 0),
        ("Tours Hospital", candidate("CHU Tours", "Hospital of Tours"), 0, 0),
        ("Université de Tours", candidate("University Hospital of Tours"), 0, 1),
        ("Universitätsklinikum Tours", candidate("Tours University Hospital"), 0, 0),
        ("Saveetha College, Chennai", candidate("Saveetha University"), 1, 1),
        ("Amgen GmbH, Munich", candidate("Amgen", types=("company",)), 0, 0),
        ("東京大学", candidate("東京病院"), 1, 1),
        ("nothing of it", candidate("Tours Hospital"), 0, 0),
    ],
)
def test_sorts_of_organisations(
    text: str, organisation: Candidate, left: int, missing: int
) -> None:
    remainder = of(text, organisation)
    assert (remainder.sorts, remainder.missing_sorts) == (left, missing)
