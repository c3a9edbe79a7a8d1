from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.errors import IntakeError
from resolver.intake.message import (
    MAX_CHUNK,
    MAX_POSITION,
    parse_chunk,
    parse_key,
    parse_keys,
    parse_record,
    parse_whole,
)
from resolver.intake.record import MAX_EXTERNAL_ID, MAX_SOURCE, SourceRecord, WholeRecord

GOOD = {"source": "crossref", "id": "10.1/a", "affiliation": "ETH Zürich", "position": 2}


# Records


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({}, SourceRecord("crossref", "10.1/a", "ETH Zürich", 2), id="plain"),
        pytest.param(
            {"id": 17}, SourceRecord("crossref", "17", "ETH Zürich", 2), id="number as id"
        ),
        pytest.param(
            {"id": 17.0, "position": 2.0},
            SourceRecord("crossref", "17", "ETH Zürich", 2),
            id="whole numbers as fractions",
        ),
        pytest.param({"affiliation": ""}, SourceRecord("crossref", "10.1/a", "", 2), id="empty"),
        pytest.param(
            {"affiliation": "a\0\ud800"},
            SourceRecord("crossref", "10.1/a", "a\0\ud800", 2),
            id="any text is an affiliation",
        ),
        pytest.param(
            {"doi": 1, "links": []},
            SourceRecord("crossref", "10.1/a", "ETH Zürich", 2),
            id="unknown keys",
        ),
        pytest.param(
            {"position": MAX_POSITION},
            SourceRecord("crossref", "10.1/a", "ETH Zürich", MAX_POSITION),
            id="last position",
        ),
        pytest.param(
            {"source": "s" * MAX_SOURCE, "id": "i" * MAX_EXTERNAL_ID},
            SourceRecord("s" * MAX_SOURCE, "i" * MAX_EXTERNAL_ID, "ETH Zürich", 2),
            id="longest names",
        ),
    ],
)
def test_record_is_taken(change: dict[str, object], expected: SourceRecord) -> None:
    assert parse_record(GOOD | change, position=0) == expected


def test_position_may_be_left_out() -> None:
    record = {key: value for key, value in GOOD.items() if key != "position"}
    assert parse_record(record, position=9).position == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"source": None}, "source: is null, not a string", id="source null"),
        pytest.param({"source": ""}, "source: empty", id="source empty"),
        pytest.param({"source": " \t"}, "source: empty", id="source blank"),
        pytest.param({"source": 5}, "source: is a number, not a string", id="source number"),
        pytest.param({"source": "a\0"}, "source: contains NUL", id="source NUL"),
        pytest.param({"source": "s" * 101}, "source: 101 characters; 100 is the most", id="source"),
        pytest.param({"id": None}, "id: is null, not a string", id="id null"),
        pytest.param({"id": True}, "id: is a boolean, not a string", id="id boolean"),
        pytest.param({"id": 1.5}, "id: is a number, not a string", id="id fraction"),
        pytest.param({"id": 2.0**53}, "id: is a number, not a string", id="id without its digits"),
        pytest.param(
            {"id": float("nan")}, "id: is not a number, not a string", id="id not a number"
        ),
        pytest.param({"id": ["x"]}, "id: is a list, not a string", id="id list"),
        pytest.param({"id": "\0"}, "id: contains NUL", id="id NUL"),
        pytest.param(
            {"id": "\ud800"}, "id: is not valid Unicode (lone surrogate)", id="id surrogate"
        ),
        pytest.param(
            {"id": "i" * (MAX_EXTERNAL_ID + 1)},
            f"id: {MAX_EXTERNAL_ID + 1} characters; {MAX_EXTERNAL_ID} is the most",
            id="id long",
        ),
        pytest.param(
            {"id": 10**6000}, f"id: longer than {MAX_EXTERNAL_ID} digits", id="id of 6001 digits"
        ),
        pytest.param({"affiliation": None}, "affiliation: is null", id="affiliation null"),
        pytest.param({"affiliation": 3}, "affiliation: is a number", id="affiliation number"),
        pytest.param({"affiliation": {}}, "affiliation: is an object", id="affiliation object"),
        pytest.param({"position": -1}, "position: not between 0 and 2147483647", id="negative"),
        pytest.param({"position": 2**31}, "position: not between 0 and 2147483647", id="2**31"),
        pytest.param(
            {"position": "1"}, "position: is a string, not a whole number", id="position string"
        ),
        pytest.param(
            {"position": True}, "position: is a boolean, not a whole number", id="position boolean"
        ),
        pytest.param(
            {"position": 1.5}, "position: is a number, not a whole number", id="position fraction"
        ),
        pytest.param(
            {"position": None}, "position: is null, not a whole number", id="position null"
        ),
    ],
)
def test_record_is_refused(change: dict[str, object], reason: str) -> None:
    with pytest.raises(IntakeError) as refused:
        parse_record(GOOD | change, position=7)
    assert (refused.value.position, refused.value.reason) == (7, reason)


@pytest.mark.parametrize("field", ["source", "id", "affiliation"])
def test_missing_field_is_named(field: str) -> None:
    record = {key: value for key, value in GOOD.items() if key != field}
    with pytest.raises(IntakeError, match=f"record 3: {field}: missing"):
        parse_record(record, position=3)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [(None, "null"), ("x", "a string"), ([], "a list"), (1, "a number"), (float("nan"), "not a")],
)
def test_no_object_is_refused(raw: object, kind: str) -> None:
    with pytest.raises(IntakeError, match=f"not an object but {kind}"):
        parse_record(raw, position=0)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(
    st.lists(
        _JSON
        | st.fixed_dictionaries(
            {}, optional={"source": _JSON, "id": _JSON, "affiliation": _JSON, "position": _JSON}
        )
    )
)
def test_every_item_is_taken_or_refused(raw: list[object]) -> None:
    records, refused = parse_chunk(raw)
    assert len(records) + len(refused) == len(raw)
    assert all(refusal.reason for refusal in refused)


def test_bad_record_leaves_its_neighbours() -> None:
    records, refused = parse_chunk([GOOD, {"id": "10.1/b"}, GOOD | {"position": 3}])
    assert [record.position for record in records] == [2, 3]
    [one] = refused
    assert (one.external_id, one.reason) == ("10.1/b", "affiliation: missing")


@pytest.mark.parametrize("raw", [None, {"records": []}, "text", [GOOD] * (MAX_CHUNK + 1)])
def test_chunk_as_a_whole_is_refused(raw: object) -> None:
    with pytest.raises(IntakeError, match="chunk"):
        parse_chunk(raw)


# What is taken back, and what is replaced


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"source": "s", "id": "a"}, ("s", "a", None)),
        ({"source": "s", "id": 7, "position": 2, "affiliation": "ETH"}, ("s", "7", 2)),
        ({"source": "s", "id": "a", "position": None}, ("s", "a", None)),
    ],
)
def test_key_is_taken(raw: object, expected: tuple[str, str, int | None]) -> None:
    assert parse_key(raw, position=0) == expected
    assert parse_keys([raw, raw]) == ([expected, expected], [])


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("10.1/a", "not an object but a string"),
        ({"source": "s"}, "id: missing"),
        ({"source": "s", "id": ""}, "id: empty"),
        ({"source": "s", "id": "a\0"}, "id: contains NUL"),
        ({"source": "s", "id": "a", "position": -1}, "position: not between"),
    ],
)
def test_key_is_refused(raw: object, reason: str) -> None:
    with pytest.raises(IntakeError, match=reason):
        parse_key(raw, position=0)
    keys, [refused] = parse_keys([raw, {"source": "s", "id": "b"}])
    assert keys == [("s", "b", None)]
    assert refused.reason.startswith(f"to be withdrawn: {reason}")


def test_whole_records() -> None:
    raw = [
        {"source": "s", "id": 7, "positions": [0, 2]},
        {"source": "s", "id": "b", "positions": []},
    ]
    expected = [WholeRecord("s", "7", (0, 2)), WholeRecord("s", "b", ())]
    assert parse_whole(raw) == (expected, [])
    assert parse_whole(None) == ([], [])


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("a", "not an object but a string"),
        ({"source": "s", "id": "a"}, "positions: is null, not a list"),
        ({"source": "s", "id": "a", "positions": [0, -1]}, "position: not between"),
        ({"source": "s" * 101, "id": "a", "positions": []}, "source: 101 characters"),
    ],
)
def test_whole_record_is_refused_by_itself(raw: object, reason: str) -> None:
    whole, [refused] = parse_whole([raw, {"source": "s", "id": "b", "positions": [0]}])
    assert whole == [WholeRecord("s", "b", (0,))]
    assert refused.reason.startswith(f"to be replaced: {reason}")


@pytest.mark.parametrize("raw", [True, {"source": "s"}, [{}] * (MAX_CHUNK + 1)])
def test_whole_records_as_a_whole_are_refused(raw: object) -> None:
    with pytest.raises(IntakeError, match="the chunk"):
        parse_whole(raw)
