from collections.abc import Sequence

import pytest

from resolver.text.affiliation import Affiliation
from resolver.text.alignment import Alignment, align, own_words_missing
from resolver.text.text import Text


def aligned(text: str, name: str, places: Sequence[str] = ()) -> Alignment:
    affiliation, aligned_name = Affiliation.of(text), Text(name)
    return align(
        affiliation,
        [number for number, piece in enumerate(affiliation.pieces) for _ in piece.units],
        aligned_name,
        affiliation.matching(aligned_name),
        affiliation.matched(aligned_name),
        places,
    )


@pytest.mark.parametrize(
    ("text", "name", "run", "exact", "alone"),
    [
        ("Lab, Université d'Orléans, France", "Universite d Orleans", 1.0, True, True),
        ("University of Orleans", "University of New Orleans", 0.5, False, False),
        ("Univ of York", "University of York", 1.0, False, False),
        ("The University of York", "University of York", 1.0, True, True),
        ("Zhejiang University of Technology", "Zhejiang University", 1.0, True, False),
        ("University of York UK", "University of York", 1.0, True, False),
        ("University of California, Davis", "University of California Davis", 1.0, True, True),
        ("东京大学", "东北大学", 0.5, False, False),
        ("", "York", 0.0, False, False),
    ],
)
def test_order_of_a_names_words(text: str, name: str, run: float, exact: bool, alone: bool) -> None:
    alignment = aligned(text, name)
    assert (alignment.run, alignment.exact, alignment.alone) == (run, exact, alone)


@pytest.mark.parametrize(
    ("text", "name", "own", "missing_own", "missing_kind"),
    [
        ("University of Orleans", "University of New Orleans", 1, 1, 0),
        ("University of Montana", "Montana State University", 1, 1, 0),
        ("University of Halle", "University Hospital in Halle", 1, 0, 1),
        ("Lund University Hospital", "Lund University", 1, 0, 0),
        ("Royal Holloway, University of London", "University College London", 1, 0, 1),
        ("University of London", "Royal Holloway University of London", 1, 2, 0),
        ("Université de Montpellier", "Université Montpellier 2", 1, 1, 0),
        ("Bonn", "University", 0, 0, 1),
    ],
)
def test_words_that_a_text_lacks(
    text: str, name: str, own: int, missing_own: int, missing_kind: int
) -> None:
    alignment = aligned(text, name)
    counted = alignment.own, alignment.missing_own, alignment.missing_kind
    assert counted == (own, missing_own, missing_kind)
    assert own_words_missing(Text(text), Text(name)) == missing_own


@pytest.mark.parametrize(
    ("text", "name", "places", "between", "alone"),
    [
        ("Zhejiang University of Technology", "Zhejiang University", (), 0, False),
        ("Lund University Hospital, Lund", "Lund University", (), 0, False),
        ("Royal Holloway University of London", "University of London", (), 0, False),
        ("Royal Holloway, University of London", "University of London", (), 0, True),
        ("University College London Hospitals", "University of London", (), 1, False),
        ("Université Montpellier 2, France", "Université Montpellier", (), 0, False),
        ("2 Université Montpellier, France", "Université Montpellier", (), 0, True),
        ("University of York York", "University of York", (), 0, False),
        ("University of York York", "University of York", ("york",), 0, True),
    ],
)
def test_words_that_a_name_lacks(
    text: str, name: str, places: Sequence[str], between: int, alone: bool
) -> None:
    alignment = aligned(text, name, places)
    assert (alignment.between, alignment.alone) == (between, alone)


@pytest.mark.parametrize(
    ("text", "name", "weight"),
    [
        ("University of York", "University of York", 1.5),
        ("Zhejiang University of Technology", "Zhejiang University of Technology", 2.0),
        ("Bonn", "York", 0.0),
    ],
)
def test_weight_of_matched_words(text: str, name: str, weight: float) -> None:
    assert aligned(text, name).weight == weight
