import pytest

from resolver.curation.unmatched import grouped, unmatched_name
from resolver.database.unmatched import EXAMPLES, Unmatched
from resolver.matching.outcome import Reason


@pytest.mark.parametrize(
    ("affiliation", "name", "city", "country"),
    [
        ("Kelmar University", "Kelmar University", None, None),
        ("Dept. of Physics, Kelmar University, Oslo, Norway", "Kelmar University", "Oslo", "NO"),
        ("Kelmar Institute of Optics, University of Kelmar, Chile", "University of Kelmar", None, "CL"),
        ("Kelmar Optics Lab, Bergen, Norway", "Kelmar Optics Lab", "Bergen", "NO"),
        ("Kelmar University, Atlanta, Georgia", "Kelmar University", "Atlanta", "US"),
        ("Kelmar University, Tbilisi, Georgia", "Kelmar University", "Tbilisi", "GE"),
        ("Kelmar University, Velmarstad, Norway", "Kelmar University", "Velmarstad", "NO"),
        ("Kelmar", "Kelmar", None, None),
        ("Department of Physics", "Department of Physics", None, None),
        ("?!", "?!", None, None),
    ],
)  # fmt: skip
def test_mention(affiliation: str, name: str, city: str | None, country: str | None) -> None:
    found = unmatched_name(affiliation)
    assert (found.name, found.city, found.country) == (name, city, country)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Dept. of Physics, Kelmar University, Oslo", "Kelmar Univ., School of Law, Norway", True),
        ("University of Kelmar", "The UNIVERSITY OF KELMAR, 0371 Oslo", True),
        ("Centre for Kelmar Studies", "Center of Kelmar Studies", True),
        ("Kelmar University", "Kelmara University", False),
        ("Kelmar University", "Kelmar Hospital", False),
        ("Université de Kélmar", "Universite Kelmar", True),
    ],
)
def test_writings_of_one_name_have_one_key(one: str, other: str, same: bool) -> None:
    assert (unmatched_name(one).key == unmatched_name(other).key) is same


def sent(affiliation: str, count: int = 1, source: str = "a", *records: str) -> Unmatched:
    return Unmatched(affiliation, Reason.NOT_IN_REGISTRY, count, (source,), records)


def test_variants_come_together_and_are_counted() -> None:
    groups = grouped(
        [
            sent("Dept. of Physics, Kelmar University, Oslo, Norway", 2, "a", "10.1/a", "10.1/b"),
            sent("Kelmar Univ. (KU), Oslo, Norway", 5, "b", "10.1/c"),
            sent("Kelmar University", 1, "a", "10.1/a"),
            sent("Velmar Hospital, Chile", 9),
        ]
    )
    assert [(group.name, group.count, group.affiliations) for group in groups] == [
        ("Velmar Hospital", 9, 1),
        ("Kelmar Univ.", 8, 3),
    ]
    kelmar = groups[1]
    assert kelmar.country == "NO"
    assert kelmar.sources == {"a", "b"}
    assert kelmar.names == {"Kelmar University": 3, "Kelmar Univ.": 5}
    assert kelmar.cities == {"Oslo": 7}
    assert kelmar.acronyms == {"KU": 5}
    assert kelmar.records == ["10.1/a", "10.1/b", "10.1/c"]
    assert kelmar.reasons == {"not_in_registry": 8}


def test_the_same_name_in_two_countries_is_two_organisations() -> None:
    groups = grouped(
        [sent("Kelmar University, Norway"), sent("Kelmar University, Chile"), sent("Kelmar University")]
    )  # fmt: skip
    assert sorted(group.country or "" for group in groups) == ["", "CL", "NO"]


def test_examples_are_few_however_many_affiliations_there_are() -> None:
    (group,) = grouped(sent(f"Kelmar University, Room {i}", 1, "a", f"10.1/{i}") for i in range(99))
    assert group.count == group.affiliations == 99
    assert len(group.examples) == len(group.records) == EXAMPLES
