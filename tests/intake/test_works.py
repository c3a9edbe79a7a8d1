"""Works of Crossref, DataCite and OpenAlex as they come: records, shapes, archives, damage."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import tracemalloc
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver import sample
from resolver.errors import FileBroken, IntakeError, SettingsError
from resolver.intake.files import AffiliationFile, read_file
from resolver.intake.format import Format
from resolver.intake.record import AssertedRecord, SourceRecord
from resolver.intake.work import StatedAffiliation, work_of
from resolver.intake.work_files import MAX_DEPTH

ETH, OXFORD = "https://ror.org/05a28rw58", "https://ror.org/052gg0110"


def ror(value: str, kind: str = "ROR") -> dict[str, str]:
    return {"id": value, "id-type": kind, "asserted-by": "publisher"}


def crossref(*affiliations: object, doi: object = "10.5555/A") -> dict[str, Any]:
    return {"DOI": doi, "author": [{"family": "Roth", "affiliation": list(affiliations)}]}


def datacite(*affiliations: object) -> dict[str, Any]:
    creators = [{"name": "Roth, Lena", "affiliation": list(affiliations)}]
    return {"id": "10.5555/a", "type": "dois", "attributes": {"creators": creators}}


def openalex(authorship: object) -> dict[str, Any]:
    return {"id": "https://openalex.org/W7", "authorships": [authorship]}


INSTITUTIONS = [
    {"id": "https://openalex.org/I1", "ror": ETH},
    {"id": "https://openalex.org/I2", "ror": OXFORD},
    {"id": "https://openalex.org/I3", "ror": None},
]

AFFILIATIONS: list[Any] = [
    ("crossref", crossref({"name": "ETH"}), [("ETH",)]),
    ("crossref", crossref({"name": "ETH", "id": [ror(ETH)]}), [("ETH", ETH)]),
    ("crossref", crossref({"name": "ETH", "id": [ror("Q1", "wikidata"), ror(ETH, "ror")]}), [("ETH", ETH)]),
    ("crossref", crossref({"id": [ror(ETH)]}), [("", ETH)]),
    ("crossref", crossref({"name": "ETH", "department": ["Physics"], "place": ["Zurich"]}), [("Physics, ETH, Zurich",)]),
    ("crossref", crossref({"name": "Physics, ETH, Zurich", "department": ["Physics"], "place": ["Zurich"]}), [("Physics, ETH, Zurich",)]),
    ("crossref", crossref({"place": ["Zurich"]}, {}), [("Zurich",), ("",)]),
    ("crossref", {"DOI": "10.5555/a"}, []),
    ("crossref", {"DOI": "10.5555/a", "author": None}, []),
    (
        "crossref",
        {"DOI": "10.5555/a", "editor": [{"affiliation": [{"name": "second"}]}], "author": [{"affiliation": [{"name": "first"}]}]},
        [("first",), ("second",)],
    ),
    ("datacite", datacite("ETH"), [("ETH",)]),
    ("datacite", datacite({"name": "ETH"}), [("ETH",)]),
    ("datacite", datacite({"name": "ETH", "affiliationIdentifier": ETH, "affiliationIdentifierScheme": "ROR"}), [("ETH", ETH)]),
    ("datacite", datacite({"name": "ETH", "affiliationIdentifier": "grid.1", "affiliationIdentifierScheme": "GRID"}), [("ETH",)]),
    ("datacite", {"doi": "10.5555/A", "creators": [{"affiliation": {"name": "ETH"}}], "contributors": [{"affiliation": ["MIT"]}]}, [("ETH",), ("MIT",)]),
    ("openalex", openalex({"raw_affiliation_strings": ["ETH"], "institutions": INSTITUTIONS[:1]}), [("ETH", ETH)]),
    ("openalex", openalex({"raw_affiliation_strings": ["ETH", "Ox"], "institutions": INSTITUTIONS}), [("ETH",), ("Ox",)]),
    ("openalex", openalex({"raw_affiliation_string": "ETH"}), [("ETH",)]),
    (
        "openalex",
        openalex({
            "institutions": INSTITUTIONS,
            "raw_affiliation_strings": ["Ox and ETH", "MIT"],
            "affiliations": [
                {"raw_affiliation_string": "Ox and ETH", "institution_ids": [i["id"] for i in INSTITUTIONS]},
                {"raw_affiliation_string": "MIT", "institution_ids": []},
            ],
        }),
        [("Ox and ETH", ETH, OXFORD), ("MIT",)],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("form", "record", "expected"), AFFILIATIONS)
def test_affiliations_of_a_record(
    form: str, record: dict[str, Any], expected: list[tuple[str, ...]]
) -> None:
    affiliations = work_of(record, Format(form)).affiliations
    assert affiliations == tuple(StatedAffiliation(text, tuple(ids)) for text, *ids in expected)


@pytest.mark.parametrize(
    ("form", "record", "id_"),
    [
        ("crossref", crossref(doi="10.1103/PhysRevLett.1"), "10.1103/physrevlett.1"),
        ("crossref", crossref(doi="https://doi.org/10.5555/(A)B "), "10.5555/(a)b"),
        ("datacite", {"id": "10.5555/A", "attributes": {}}, "10.5555/a"),
        ("datacite", {"id": "https://doi.org/10.5555/A", "creators": []}, "10.5555/a"),
        ("openalex", {"id": "https://openalex.org/W2741809807"}, "W2741809807"),
        ("openalex", {"id": "w12"}, "W12"),
    ],
)
def test_id_of_a_record(form: str, record: dict[str, Any], id_: str) -> None:
    assert work_of(record, Format(form)).id == id_


@pytest.mark.parametrize(
    ("form", "record", "reason"),
    [
        ("crossref", [], "not an object but a list"),
        ("crossref", {}, "DOI: None is no DOI, such as 10.5555/12345678"),
        ("crossref", {"DOI": 7}, "DOI: 7 is no DOI"),
        ("crossref", {"DOI": "10.5555"}, "DOI: '10.5555' is no DOI"),
        ("crossref", crossref("ETH"), "affiliation: is a string, not an object"),
        ("crossref", crossref({"name": 7}), "name: is a number, not a string"),
        ("crossref", {"DOI": "10.5555/a", "author": ["Roth"]}, "author: is a string, not an object"),
        ("datacite", {"id": "10.5555/a", "attributes": []}, "attributes: is a list, not an object"),
        ("datacite", datacite(7), "affiliation: is a number, not a string or an object"),
        ("openalex", {"id": "https://openalex.org/A1"}, "id: 'https://openalex.org/A1' is no id of an OpenAlex work"),
        ("openalex", openalex({"raw_affiliation_strings": [None, []]}), "raw_affiliation_strings: is a list, not a string"),
    ],
)  # fmt: skip
def test_record_that_is_refused(form: str, record: object, reason: str) -> None:
    with pytest.raises(ValueError, match="^" + reason.replace("(", r"\(")):
        work_of(record, Format(form))


# Files

WORKS = [
    crossref({"name": "ETH", "id": [ror(ETH)]}, {"id": [ror(OXFORD)]}, {"name": "MIT"}),
    {"DOI": "10.5555/b"},
    crossref({"name": "Zürich"}, doi="10.5555/C"),
]

RECORDS = [
    AssertedRecord("crossref", "10.5555/a", "ETH", 0, asserted=(ETH,)),
    AssertedRecord("crossref", "10.5555/a", "MIT", 2),
    AssertedRecord("crossref", "10.5555/c", "Zürich", 0),
]


def lines(works: Iterable[object]) -> bytes:
    return "".join(json.dumps(work, ensure_ascii=False) + "\n" for work in works).encode()


def whole(value: object, indent: int | None = None) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=indent).encode()


def answer(works: list[Any]) -> dict[str, Any]:
    """What Crossref's API answers."""
    message = {"facets": {"type": {"value-count": 1, "values": {}}}, "items": works}
    return {"status": "ok", "message-type": "work-list", "message": message}


SHAPES = {
    "lines": lines(WORKS),
    "lines without the last end": lines(WORKS).rstrip(),
    "lines after a blank one": b"\n" + lines(WORKS),
    "lines after a byte order mark": b"\xef\xbb\xbf" + lines(WORKS),
    "an array": whole(WORKS),
    "an array on many lines": whole(WORKS, 2),
    "an array after a byte order mark": b"\xef\xbb\xbf" + whole(WORKS, 2),
    "a file of the public data file": whole({"items": WORKS}),
    "the same on many lines": whole({"items": WORKS}, 1),
    "an answer of the API": whole(answer(WORKS)),
    "the same, on many lines": whole(answer(WORKS), 4),
    "works on many lines, one after the other": b"\n".join(whole(work, 1) for work in WORKS),
}


def read(folder: Path, name: str, content: bytes, **options: Any) -> AffiliationFile:
    path = folder / name
    path.write_bytes(content)
    return read_file(path, **options)


def shown(rows: Iterable[SourceRecord | IntakeError], folder: Path) -> list[object]:
    """Records, and the reasons of refusals without the folder."""
    return [
        row.reason.replace(f"{folder}/", "") if isinstance(row, IntakeError) else row
        for row in rows
    ]


@pytest.mark.parametrize("name", ["works.json", "works.jsonl", "works"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(tmp_path: Path, shape: str, packed: bool, name: str) -> None:
    content = gzip.compress(SHAPES[shape]) if packed else SHAPES[shape]
    format = Format.CROSSREF if name == "works" and not packed else Format.AUTO
    rows = read(tmp_path, name + ".gz" * packed, content, format=format)
    assert rows.form is Format.CROSSREF
    assert rows.identified
    assert list(rows) == RECORDS
    how = "recognised by its content" if format is Format.AUTO else "as asked"
    assert rows.remarks() == [
        f"read as works of Crossref ({how}): 3 works",
        "1 works have no affiliation",
        "1 affiliations are an id without a text: there is nothing to resolve",
    ]


def test_single_works_are_answers_too(tmp_path: Path) -> None:
    single = {"status": "ok", "message-type": "work", "message": WORKS[2]}
    assert list(read(tmp_path, "a.json", whole(single, 1))) == RECORDS[2:]
    data = {"data": {"id": "10.5555/a", "attributes": {"creators": [{"affiliation": ["ETH"]}]}}}
    assert [r.affiliation for r in read(tmp_path, "b.json", whole(data))] == ["ETH"]  # type: ignore[union-attr]


@pytest.mark.parametrize("works", [[], {"items": []}, {"message": {"items": []}}, {"results": []}])
def test_empty_list_of_works_has_no_records(tmp_path: Path, works: object) -> None:
    assert list(read(tmp_path, "a.json", whole(works), format=Format.OPENALEX)) == []


@pytest.mark.parametrize(
    ("name", "form", "records", "refused"),
    [
        (sample.CROSSREF, "crossref", 5, ["work 3: affiliation: is a string, not an object"]),
        (sample.DATACITE, "datacite", 4, []),
        (sample.OPENALEX, "openalex", 3, []),
    ],
)
def test_the_samples_are_recognised(
    name: Path, form: str, records: int, refused: list[str]
) -> None:
    rows = read_file(name)
    assert rows.form == form
    found = list(rows)
    good = [row for row in found if isinstance(row, AssertedRecord)]
    assert len(good) == records
    assert {row.source for row in good} == {form}
    assert [row.reason.split(", ", 1)[1] for row in found if isinstance(row, IntakeError)] == refused  # fmt: skip


def test_source_that_is_given_counts(tmp_path: Path) -> None:
    rows = list(read(tmp_path, "a.json", whole(WORKS), source="mine"))
    assert {row.source for row in rows if isinstance(row, SourceRecord)} == {"mine"}


def test_bad_works_are_told_with_their_place_and_the_others_read(tmp_path: Path) -> None:
    bad = [crossref("ETH"), {"title": ["no DOI"]}]
    content = lines([*bad, WORKS[0]]) + b"{nonsense\n" + lines(WORKS[2:]) + b'{"DOI": "\xff"}\n'
    assert shown(read(tmp_path, "a.jsonl", content), tmp_path) == [
        "a.jsonl, line 1: affiliation: is a string, not an object",
        "a.jsonl, line 2: DOI: None is no DOI, such as 10.5555/12345678",
        *RECORDS[:2],
        "a.jsonl, line 4: not JSON: Expecting property name enclosed in double quotes (column 2)",
        RECORDS[2],
        "a.jsonl, line 6: not UTF-8 (byte 0xff at 9)",
    ]
    assert shown(read(tmp_path, "a.json", whole([*bad, *WORKS, 7])), tmp_path) == [
        "a.json, work 1: affiliation: is a string, not an object",
        "a.json, work 2: DOI: None is no DOI, such as 10.5555/12345678",
        *RECORDS,
        "a.json, work 6: not an object but a number",
    ]


def test_lines_whose_first_is_broken_are_recognised(tmp_path: Path) -> None:
    rows = list(read(tmp_path, "a.jsonl", b'{"DOI": \n' + lines(WORKS)))
    assert [type(row) for row in rows] == [IntakeError, *3 * [AssertedRecord]]


@pytest.mark.parametrize(
    ("tail", "reason"),
    [
        (b', {"DOI": "10.5555/d", ', "premature EOF"),
        (b", nonsense]", "lexical error: invalid string in json text."),
        (b', {"DOI": "\xff"}]', "lexical error: invalid bytes in UTF8 string."),
        (b", " + b"[" * 10_000, f"more than {MAX_DEPTH} arrays and objects are within each other"),
        (b', "' + b"x" * 17 * 2**20, "a record is longer than 16777216 bytes"),
    ],
)
def test_document_that_breaks_off_is_told_after_its_works(
    tmp_path: Path, tail: bytes, reason: str
) -> None:
    rows = read(tmp_path, "a.json", whole(WORKS)[:-1] + tail)
    assert [next(rows) for _ in RECORDS] == RECORDS
    with pytest.raises(FileBroken, match=f"a.json, work 4: the file breaks off: .*{reason}"):
        next(rows)


def test_brackets_in_strings_are_no_depth(tmp_path: Path) -> None:
    text = '"[' * 40_000 + "\\" + "{" * 40_000
    works = [crossref({"name": text}) for _ in range(3)]
    assert [r.affiliation for r in read(tmp_path, "a.json", whole(works))] == [text] * 3  # type: ignore[union-attr]


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_depth_is_bounded_before_anything_is_recognised(tmp_path: Path, opening: bytes) -> None:
    content = b'{"items": [{"DOI": "10.5555/a", "x": ' + opening * 300_000
    with pytest.raises(FileBroken, match="within each other"):
        list(read(tmp_path, "a.json", content, format=Format.CROSSREF))


# Archives


def archive(members: dict[str, bytes], mode: str = "w:gz") -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode=mode) as tar:  # type: ignore[call-overload]
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return written.getvalue()


@pytest.mark.parametrize("name", ["all.tar.gz", "all.tgz", "all.tar"])
def test_archive(tmp_path: Path, name: str) -> None:
    members = {
        "works/README": b"about this file",
        "works/._0.json": b"what a Mac leaves",
        "works/2024.csv.gz": gzip.compress(b"doi\n"),
        "works/0.json.gz": gzip.compress(whole({"items": WORKS[:2]})),
        "works/1.jsonl.gz": gzip.compress(lines(WORKS[2:])),
    }
    content = archive(members, "w" if name.endswith(".tar") else "w:gz")
    rows = read(tmp_path, name, content)
    assert list(rows) == RECORDS
    assert rows.form is Format.CROSSREF
    assert rows.remarks()[0] == ("read as works of Crossref (recognised by its content): 3 works")
    assert (
        rows.remarks()[-1] == "3 files of the archive are neither JSON nor XML, and were left out"
    )


def test_broken_file_of_an_archive_is_told_and_the_next_one_read(tmp_path: Path) -> None:
    packed = gzip.compress(lines(WORKS))
    members = {
        "0.json": whole(WORKS[:2])[:-1],
        "1.jsonl.gz": packed[:20],
        "2.json": b'"neither"',
        "3.jsonl": lines(WORKS[2:]),
    }
    rows = shown(read(tmp_path, "all.tar.gz", archive(members)), tmp_path)
    assert [row for row in rows if isinstance(row, SourceRecord)] == RECORDS
    told = [row for row in rows if isinstance(row, str)]
    assert len(told) == 3
    assert told[0].startswith("all.tar.gz:0.json, from work 3 on: the rest of this file cannot be")
    assert told[1].startswith("all.tar.gz:1.jsonl.gz, from ")
    assert told[2].startswith("all.tar.gz:2.json: ")


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_cut_archive_is_told_wherever_it_was_cut(tmp_path: Path, mode: str, share: float) -> None:
    noise = [crossref({"name": f"{i * 7919 % 10_007:x} Institute"}) for i in range(3_000)]
    content = archive({f"{i}.json": whole(noise) for i in range(4)}, mode)
    with pytest.raises(FileBroken, match=r"all.tar, work \d+: the file breaks off"):
        list(read(tmp_path, "all.tar", content[: int(len(content) * share)]))


def test_archive_of_no_works_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="a tar archive, not csv"):
        read(tmp_path, "a.tar", archive({"0.json": b"[]"}), format=Format.CSV)
    rows = shown(read(tmp_path, "b.tar", archive({"0.json": b'[{"a": 1}]'})), tmp_path)
    assert (
        rows
        == [
            "b.tar:0.json: "
            f"{tmp_path}/b.tar:0.json: no works of Crossref, DataCite or OpenAlex are recognised in it"
        ]
        or len(rows) == 1
    )


# What it costs, and what may be in it


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Files of 3 and 9 MB, packed; what Python allocates is counted."""
    text = "Institute of Low Temperatures, " * 8
    work = crossref(*({"name": f"{text}{i}"} for i in range(40)))
    peaks = []
    for count in (300, 900):
        path = tmp_path / f"{count}.json.gz"
        works = (whole({**work, "DOI": f"10.5555/{i}"}) for i in range(count))
        path.write_bytes(gzip.compress(b'{"items": [' + b",".join(works) + b"]}", 1))
        tracemalloc.start()
        try:
            assert sum(1 for _ in read_file(path)) == 40 * count
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0] < 9 * 2**20


TEXTS = st.text(max_size=30).filter(lambda text: "\ud800" not in text)
ROWS = st.lists(st.lists(TEXTS, max_size=4), max_size=6)


@given(
    works=ROWS, shape=st.sampled_from(["lines", "array", "items", "archive"]), indent=st.booleans()
)
def test_what_is_written_is_read(
    works: list[list[str]], shape: str, indent: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    records = [
        crossref(*({"name": text} for text in texts), doi=f"10.5555/{i}")
        for i, texts in enumerate(works)
    ]
    width = 1 if indent else None
    content = {
        "lines": lines(records),
        "array": whole(records, width),
        "items": whole({"items": records}, width),
        "archive": archive({"0.jsonl": lines(records[:2]), "1.json": whole(records[2:], width)}),
    }[shape]
    path = tmp_path_factory.mktemp("works") / "works"
    path.write_bytes(content)
    assert list(read_file(path, format=Format.CROSSREF)) == [
        AssertedRecord("crossref", f"10.5555/{i}", text, position)
        for i, texts in enumerate(works)
        for position, text in enumerate(texts)
        if text.strip()
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.text(max_size=5),
    lambda values: (
        st.lists(values, max_size=3)
        | st.dictionaries(
            st.sampled_from([
                "DOI", "id", "author", "affiliation", "name", "attributes", "creators", "items",
                "authorships", "institutions", "affiliations", "raw_affiliation_strings", "place",
            ]),
            values,
            max_size=4,
        )
    ),
    max_leaves=20,
)  # fmt: skip


@given(
    record=JSON,
    form=st.sampled_from([Format.CROSSREF, Format.DATACITE, Format.OPENALEX]),
    wrapped=st.booleans(),
)
def test_whatever_json_it_is_it_is_read_or_refused(
    record: object, form: Format, wrapped: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("any") / "a.json"
    path.write_bytes(whole([record]) if wrapped else whole(record))
    with suppress(SettingsError):
        for row in read_file(path, format=form):
            assert isinstance(row, (IntakeError, AssertedRecord))
