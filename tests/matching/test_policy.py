from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.matching.policy import COUNTRIES, Level, Policy, Succession, threshold
from resolver.registry.document import Document
from resolver.registry.organisation import TYPES

policies = st.builds(
    Policy,
    accept_probability=st.floats(0, 1),
    max_links=st.integers(1, 100),
    ambiguity_margin=st.floats(0, 1),
    level=st.sampled_from(Level),
    succession=st.sampled_from(Succession),
    types=st.frozensets(st.sampled_from(sorted(TYPES))),
    countries=st.frozensets(st.sampled_from(sorted(COUNTRIES))),
)


@given(policies)
def test_a_policy_survives_json(policy: Policy) -> None:
    written = json.loads(json.dumps(policy.as_object()))
    assert written.keys() == {field.name for field in fields(Policy)}
    read = Policy.from_object(written)
    assert read == policy
    assert read.fingerprint == policy.fingerprint


@given(policies, policies)
def test_what_is_left_out_is_the_base_s(policy: Policy, base: Policy) -> None:
    assert Policy.from_object({}, base=base) == base
    for name, value in policy.as_object().items():
        changed = Policy.from_object({name: value}, base=base)
        assert changed.as_object() == base.as_object() | {name: value}


@given(policies, policies)
def test_fingerprints_are_equal_when_policies_are(one: Policy, other: Policy) -> None:
    assert (one.fingerprint == other.fingerprint) == (one == other)


def test_the_fingerprint_is_the_same_in_another_process() -> None:
    policy = Policy(types=frozenset({"education", "company", "facility"}))
    code = (
        "from resolver.matching.policy import Policy;"
        "print(Policy(types=frozenset({'facility', 'company', 'education'})).fingerprint.hex())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == policy.fingerprint.hex()


def test_a_whole_number_is_the_same_probability() -> None:
    assert Policy(accept_probability=1).fingerprint == Policy(accept_probability=1.0).fingerprint


@pytest.mark.parametrize(
    "changes",
    [
        {"accept_probability": 1.1},
        {"accept_probability": -0.1},
        {"accept_probability": math.nan},
        {"max_links": 0},
        {"max_links": 101},
        {"ambiguity_margin": 2.0},
        {"types": frozenset({"educaton"})},
        {"countries": frozenset({"UK"})},
        {"countries": frozenset({"de"})},
    ],
    ids=str,
)
def test_nonsense_is_refused_by_name(changes: dict[str, object]) -> None:
    (field,) = changes
    with pytest.raises(ValueError, match=field):
        Policy(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ([], "not an object"),
        ("both", "not an object"),
        ({"levle": "both"}, "levle: no such choice; there are accept_probability, max_links"),
        ({"level": "top"}, "level: .*not one of named, most-specific, top-parent, both"),
        ({"level": None}, "level: null"),
        ({"succession": ["keep"]}, "succession"),
        ({"accept_probability": "0.9"}, "accept_probability: is a string, not a number"),
        ({"accept_probability": True}, "accept_probability: is a boolean, not a number"),
        pytest.param(
            {"accept_probability": 10**400}, "accept_probability: is too large", id="huge"
        ),
        ({"accept_probability": math.inf}, "accept_probability"),
        ({"max_links": 2.5}, "max_links: is not a whole number"),
        ({"max_links": False}, "max_links"),
        ({"types": "education"}, "types: is a string, not a list"),
        ({"types": [1]}, "types"),
        ({"types": ["university"]}, "types: 'university' not in archive, company"),
        ({"countries": ["UK"]}, "countries: 'UK' not in ISO 3166-1 alpha-2"),
        ({"countries": {"CH": 1}}, "countries"),
        ({"target_precision": 0.3}, "target_precision: 0.3 is not between 0.5 and 0.999"),
        ({"target_precision": "high"}, "target_precision"),
        ({"target_precision": 0.9, "accept_probability": 0.9}, "together with accept_probability"),
    ],
    ids=str,
)
def test_a_bad_choice_is_told(raw: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Policy.from_object(raw, threshold_for=lambda target: target)


def test_case_of_types_and_countries_does_not_matter() -> None:
    policy = Policy.from_object({"types": [" Education"], "countries": ["ch", "CH "]})
    assert policy == Policy(types=frozenset({"education"}), countries=frozenset({"CH"}))


@pytest.mark.parametrize(
    ("changes", "admitted"),
    [
        ({}, True),
        ({"types": frozenset({"education"})}, True),
        ({"types": frozenset({"company", "funder"})}, True),
        ({"types": frozenset({"company"})}, False),
        ({"countries": frozenset({"CH", "DE"})}, True),
        ({"countries": frozenset({"DE"})}, False),
        ({"types": frozenset({"education"}), "countries": frozenset({"DE"})}, False),
    ],
    # Not their text: sets differ in order from process to process.
    ids=[
        "any",
        "one type",
        "of two types",
        "another type",
        "of two countries",
        "another country",
        "one type, another country",
    ],
)
def test_what_a_policy_admits(changes: dict[str, frozenset[str]], admitted: bool) -> None:
    eth = Document(
        "05a28rw58", "ETH", "ETH Zurich", True, "Zurich", None, "CH", "Switzerland",
        types=("education", "funder"),
    )  # fmt: skip
    assert Policy(**changes).admits(eth) is admitted  # type: ignore[arg-type]


def test_an_organisation_without_a_place_is_in_no_country() -> None:
    nowhere = Document("05a28rw58", "ETH", "ETH Zurich", True, None, None, None, None)
    assert Policy().admits(nowhere)
    assert not Policy(countries=frozenset({"CH"})).admits(nowhere)


# Target precision

POINTS = [(0.2, 0.80, 0.99), (0.4, 0.91, 0.95), (0.6, 0.95, 0.90), (0.8, 0.97, 0.80)]


@pytest.mark.parametrize(
    ("points", "target", "expected"),
    [
        pytest.param(POINTS, 0.9, 0.4, id="between two points"),
        pytest.param(POINTS, 0.95, 0.6, id="just reached"),
        pytest.param(POINTS[::-1], 0.95, 0.6, id="in any order"),
        pytest.param(POINTS, 0.5, 0.2, id="all reach it"),
        pytest.param(
            [(0.2, 0.96, 0.9), (0.4, 0.94, 0.8), (0.6, 0.97, 0.7)], 0.95, 0.6, id="not in between"
        ),
    ],
)
def test_the_threshold_of_a_precision(
    points: list[tuple[float, float, float]], target: float, expected: float
) -> None:
    assert threshold(points, target) == expected


def test_a_precision_out_of_reach_is_told_with_the_best() -> None:
    with pytest.raises(ValueError, match=r"0.99 is out of reach.*0.970, at accept_probability 0.8"):
        threshold(POINTS, 0.99)


def test_nothing_was_measured() -> None:
    with pytest.raises(ValueError, match="no precision was measured"):
        threshold([], 0.9)
    with pytest.raises(ValueError, match="no precision was measured"):
        Policy.from_object({"target_precision": 0.9})


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)), min_size=1),
    st.floats(0.5, 0.999),
)
def test_no_stricter_point_is_below_the_target(
    points: list[tuple[float, float, float]], target: float
) -> None:
    try:
        found = threshold(points, target)
    except ValueError:
        assert max(points)[1] < target
        return
    assert all(precision >= target for accept, precision, _ in points if accept > found)
    laxer = [point for point in points if point[0] < found]
    assert not laxer or any(
        precision < target for accept, precision, _ in points if accept in (max(laxer)[0], found)
    )


def test_a_target_precision_becomes_a_threshold() -> None:
    policy = Policy.from_object(
        {"target_precision": 0.95, "level": "both"}, threshold_for=lambda t: threshold(POINTS, t)
    )
    assert policy == Policy(accept_probability=0.6, level=Level.BOTH)
