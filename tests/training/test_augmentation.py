from dataclasses import replace
from pathlib import Path

import pytest

from resolver.errors import GoldError
from resolver.registry.organisation import Name, NameKind, Organisation, OrganisationStatus, Place
from resolver.text.affiliation import normalise
from resolver.text.words import words
from resolver.training.augmentation import (
    Material,
    _cut,
    in_their_scripts,
    joint,
    read_material,
    synthetic,
)
from resolver.training.pairs import held_out

MATERIAL = Material(("Department of Physics",), ("Main Street 1",), ("0316",))


def organisations(count: int) -> list[Organisation]:
    return [
        Organisation(
            f"org{i}",
            OrganisationStatus.ACTIVE,
            (
                Name(f"University of Place{i}", frozenset({NameKind.DISPLAY})),
                Name(f"UP{i}", frozenset({NameKind.ACRONYM})),
                Name(f"地方{i}大学", frozenset({NameKind.LABEL}), "ja"),
            ),
            places=(Place("NO", "Norway", f"City{i}", "Viken"),),
            domains=(f"up{i}.no",),
        )
        for i in range(count)
    ]


def test_strings_repeat_with_the_seed() -> None:
    registry = organisations(100)
    first, again, other = (
        list(synthetic(registry, MATERIAL, count=200, seed=seed)) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    assert len(first) == 200


def test_strings_are_normalised_certain_and_of_no_held_out_organisation() -> None:
    registry = organisations(400)
    made = list(synthetic(registry, MATERIAL, count=2000, seed=1))
    assert all(item.certain and item.affiliation == normalise(item.affiliation) for item in made)
    named = {ror_id for item in made for ror_id in item.ror_ids}
    assert len(named) > 200
    assert not any(held_out(ror_id) for ror_id in named)
    counts = [len(item.ror_ids) for item in made]
    assert 0.02 < counts.count(0) / len(counts) < 0.07
    assert 0.08 < counts.count(2) / len(counts) < 0.17


def test_most_strings_show_a_name_of_theirs() -> None:
    registry = {o.ror_id: o for o in organisations(300)}
    made = list(synthetic(list(registry.values()), MATERIAL, count=1000, seed=1))
    shown = [
        any(
            set(words(name.value)) & set(words(item.affiliation)) for name in registry[ror_id].names
        )
        for item in made
        for ror_id in item.ror_ids
    ]
    assert sum(shown) / len(shown) > 0.9


def test_without_material_and_places() -> None:
    bare = [
        Organisation("bare", OrganisationStatus.ACTIVE, (Name("X", frozenset({NameKind.DISPLAY})),))
    ]
    assert not held_out("bare")
    made = list(synthetic(bare, Material((), (), ()), count=50, seed=1))
    assert len(made) == 50


def test_read_material(tmp_path: Path) -> None:
    path = tmp_path / "ner.jsonl"
    path.write_text(
        '{"text": "Dept of Law, Oslo, 0316", "spans": [[0, 11, "SUB"], [13, 17, "CITY"],'
        ' [19, 23, "POSTALCODE"]]}\n'
    )
    assert read_material(path) == Material(("Dept of Law",), (), ("0316",))
    path.write_text('{"text": "x"}\n')
    with pytest.raises(GoldError):
        read_material(path)


def test_strings_in_their_scripts_are_of_held_out_organisations() -> None:
    registry = organisations(400)
    made = list(in_their_scripts(registry, count=12, seed=1))
    assert len(made) == 12
    assert all("地方" in item.affiliation and item.certain for item in made)
    assert all(held_out(ror_id) for item in made for ror_id in item.ror_ids)
    assert made == list(in_their_scripts(registry, count=12, seed=1))
    everything = list(in_their_scripts(registry, count=1000, seed=1))
    assert len({item.ror_ids for item in everything}) == len(everything) < 40


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Weizmann Institute of Science", "Weizmann Institute"),
        ("University of Oslo", "University of Oslo"),
        ("Courant Institute of Mathematical Sciences", "Courant Institute"),
        ("Institut für Physik", "Institut für Physik"),
        ("Oslo", "Oslo"),
    ],
)
def test_a_name_is_cut_only_where_it_still_tells(name: str, expected: str) -> None:
    assert _cut(name) == expected


def in_one_city(count: int) -> list[Organisation]:
    return [
        replace(one, places=(Place("NO", "Norway", f"City{i % 5}", "Viken"),))
        for i, one in enumerate(organisations(count))
    ]


def test_joint_strings_name_neighbours_and_national_ones() -> None:
    registry = in_one_city(400)
    found = list(joint(registry, MATERIAL, count=200, seed=1))
    assert len(found) == 200
    assert sum(len(item.ror_ids) > 1 for item in found) > 150
    for item in found:
        assert item.certain
        assert item.affiliation == normalise(item.affiliation)
        assert all(not held_out(ror_id) for ror_id in item.ror_ids)
        assert any(place in item.affiliation for place in ("City", "Viken", "Nor"))
    again = list(joint(registry, MATERIAL, count=200, seed=1))
    assert found == again


def test_no_joint_strings_where_no_city_has_two() -> None:
    assert list(joint(organisations(100), MATERIAL, count=5, seed=1)) == []
