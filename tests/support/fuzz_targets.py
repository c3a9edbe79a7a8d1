"""What hostile bytes are fed to, and what must hold of each answer.

A target takes any bytes. It returns when the answer is one of those that are promised, and raises
anything at all when not: `AssertionError` for a wrong answer, and whatever the code raised that it
should not have. The same targets are driven by hypothesis (``test_fuzz.py``, in CI) and by atheris
(``make fuzz``).
"""

from __future__ import annotations

import gzip
import io
import json
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from resolver.curation import overrides
from resolver.errors import (
    FileBroken,
    IntakeError,
    RecordError,
    RegistryError,
    ResolverError,
    SettingsError,
)
from resolver.intake.files import read_file
from resolver.intake.format import Format
from resolver.intake.message import MAX_POSITION, parse_chunk, parse_keys, parse_whole
from resolver.intake.record import MAX_EXTERNAL_ID, MAX_SOURCE, RefusedRecord, SourceRecord
from resolver.matching.override import Override
from resolver.matching.policy import Policy
from resolver.registry.dump import open_release
from resolver.registry.record import dump_record, load_record, parse
from resolver.text.affiliation import Affiliation, normalise, text_hash

LONGEST_MESSAGE = 2_000
"""Characters of an error: it goes to a terminal, a log and a column."""

Target = Callable[[bytes], None]


def _text(data: bytes) -> str:
    """Any text, lone surrogates included."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _storable(text: str) -> bool:
    """Postgres takes it."""
    return "\0" not in text and text.encode(errors="replace").decode() == text


def _told(error: ResolverError) -> None:
    said = str(error)
    assert 0 < len(said) <= LONGEST_MESSAGE, len(said)
    assert "\n" not in said, said
    assert "\x1b" not in said, said


def normalisation(data: bytes) -> None:
    text = normalise(_text(data))
    assert _storable(text)
    assert text == text.strip()
    assert len(text_hash(text)) == 16
    assert not any(ord(character) < 32 for character in text)
    assert normalise(text) == text
    made = Affiliation.of(_text(data))
    assert Affiliation.of(made.text).text == made.text


def registry_record(data: bytes) -> None:
    raw = _json(data)
    try:
        organisation = parse(raw, index=3)
    except RecordError as error:
        _told(error)
        return
    stored = json.dumps(dump_record(organisation), ensure_ascii=False)
    assert _storable(stored)
    assert "\\u0000" not in stored
    assert dump_record(load_record(json.loads(stored))) == json.loads(stored)


def registry_file(data: bytes) -> None:
    """As it is, gzipped, and in a zip."""
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("v2.9-ror-data.json", data)
    with tempfile.TemporaryDirectory(dir=_MEMORY) as folder:
        path = Path(folder, "release")
        for content in (data, gzip.compress(data, 1), zipped.getvalue()):
            path.write_bytes(content)
            try:
                for record in open_release(path).records():
                    if isinstance(record, RecordError):
                        _told(record)
            except RegistryError as error:
                _told(error)


_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


def task_message(data: bytes) -> None:
    """The arguments of a message: the records, what is replaced or withdrawn, and a policy."""
    raw = _json(data)
    try:
        records, refused = parse_chunk(raw)
    except IntakeError as error:
        _told(error)
    else:
        assert isinstance(raw, list)
        assert len(records) + len(refused) == len(raw)
        for record in records:
            _is_good(record)
        for bad in refused:
            _is_told(bad)
    for reading in (parse_keys, parse_whole):
        try:
            keys, refused = reading(raw)  # type: ignore[operator]
        except IntakeError as error:
            _told(error)
        else:
            assert len(keys) + len(refused) == len(raw or ())  # type: ignore[arg-type]
            for bad in refused:
                _is_told(bad)
    try:
        policy = Policy.from_object(raw, threshold_for=lambda target: target)
    except ValueError:
        pass
    else:
        assert Policy.from_object(json.loads(policy.canonical)) == policy


def _is_good(record: SourceRecord) -> None:
    assert isinstance(record.affiliation, str)
    assert 0 < len(record.source) <= MAX_SOURCE
    assert 0 < len(record.external_id) <= MAX_EXTERNAL_ID
    assert _storable(record.source)
    assert _storable(record.external_id)
    assert 0 <= record.position <= MAX_POSITION
    assert type(record.position) is int


def _is_told(bad: RefusedRecord) -> None:
    assert bad.reason
    assert "\n" not in bad.reason
    assert isinstance(bad.payload, str)


def input_file(data: bytes) -> None:
    """``resolver enqueue FILE``, in each format and gzipped; the first byte says which."""
    form = (Format.JSONL, Format.CSV, Format.TSV, Format.TXT)[data[0] % 4 if data else 0]
    with tempfile.TemporaryDirectory(dir=_MEMORY) as folder:
        for suffix, content in (("", data[1:]), (".gz", gzip.compress(data[1:], 1))):
            path = Path(folder, f"in.{form.value}{suffix}")
            path.write_bytes(content)
            _read(path)
        path.write_bytes(b"\x1f\x8b\x08" + data)
        _read(path)


def _read(path: Path) -> None:
    try:
        for record in read_file(path):
            if isinstance(record, IntakeError):
                _told(record)
            else:
                _is_good(record)
    except (SettingsError, FileBroken) as error:
        _told(error)


def overrides_file(data: bytes) -> None:
    """``resolver override import FILE``."""
    file = io.TextIOWrapper(
        io.BytesIO(data), encoding="utf-8-sig", errors="surrogateescape", newline=""
    )
    try:
        for said in overrides.read_csv(enumerate(file, 1), author="ada"):
            if isinstance(said, Override):
                assert _storable(said.affiliation)
                assert _storable(said.note)
                assert _storable(said.author)
                assert said.affiliation == normalise(said.affiliation)
    except ResolverError as error:
        _told(error)


def _json(data: bytes) -> Any:
    """What a message or a file of these bytes would hold; None where they are no JSON."""
    try:
        return json.loads(_text(data))
    except (ValueError, RecursionError):
        return None


TARGETS: dict[str, Target] = {
    target.__name__: target
    for target in (
        normalisation,
        registry_record,
        registry_file,
        task_message,
        input_file,
        overrides_file,
    )
}
