"""Inputs that are meant to do harm, for each target: of its own form, with something wrong."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any
from zlib import crc32

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from resolver import sample

RECORDS: list[dict[str, Any]] = json.loads(sample.REGISTRY.read_bytes())[:40]

NASTY = [
    "", " ", "\0", "\ud800", "\udfff\ud800", "\ufeff", "\u202e", "\x1b[2J", "\r\n", "\u2028",
    "a" * 11_000, "&amp;" * 40, "&amp;amp;amp;amp;amp;amp;amp;amp;lt;", "<" * 500, "<a" * 300,
    "\ufdfa" * 60, "e" + "\u0301" * 400, "%s%n{0}{x.__class__}", "'; DROP TABLE link; --",
    "../../etc/passwd", "$(id)", "NaN", "1e999", "9" * 5_000, "https://ror.org/052gg0110",
    "052gg0110", "is", "is not", '"', "'", "\\", "\\u0000", ",", "\t", "=cmd|'/c calc'!A0",
    "İ" * 50, "ß", "ﬁ", "\U0010ffff", "𝕌𝕟𝕚", "☃\u200d", "Ｕｎｉｖ",
]  # fmt: skip

STRINGS = st.one_of(st.sampled_from(NASTY), st.text(max_size=12))
NUMBERS = st.sampled_from(
    [0, -1, 1, 2**31, 2**63, -(2**63), 10**400, 0.1, -0.0, 1e308, float("inf"), float("nan"), True]
)
VALUES = st.recursive(
    st.one_of(st.none(), NUMBERS, STRINGS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(STRINGS, inner, max_size=3)
    ),
    max_leaves=4,
)


def _written(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


NESTED = st.builds(
    lambda mark, depth: (mark * depth).encode(),
    st.sampled_from(["[", '{"a":', "[[{", '{"id":[']),
    st.integers(1, 20_000),
)


@st.composite
def broken(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Bytes of another strategy, cut, repeated, or with bytes changed."""
    data = bytearray(draw(whole))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.integers(0, 3)):
            case 0:
                del data[place:]
            case 1:
                data[place:place] = draw(st.binary(max_size=4))
            case 2:
                data[place : place + 1] = draw(st.binary(max_size=1))
            case 3:
                data += data[place : place + 200]
    return bytes(data)


@st.composite
def changed_record(draw: st.DrawFn) -> dict[str, Any]:
    """A record of the registry, with something else in some of its places."""
    record = json.loads(json.dumps(draw(st.sampled_from(RECORDS))))
    for _ in range(draw(st.integers(1, 3))):
        place: Any = record
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            inner = place[key]
            if isinstance(inner, dict | list) and inner and draw(st.booleans()):
                place = inner
                continue
            if draw(st.integers(0, 4)):
                place[key] = draw(VALUES)
            else:
                del place[key]
            break
    return record


SENT = st.fixed_dictionaries(
    {"source": VALUES | st.just("crossref"), "id": VALUES | st.just("10.1/a")},
    optional={"affiliation": STRINGS | VALUES, "position": VALUES | st.integers(0, 3)},
)
POLICIES = st.dictionaries(
    st.sampled_from(
        ["accept_probability", "target_precision", "max_links", "level", "succession", "types",
         "countries", "more"]
    ),
    VALUES | st.sampled_from(["both", "keep", 0.7, 5, ["education"], ["CH"]]),
    max_size=4,
)  # fmt: skip
CELLS = st.one_of(
    st.sampled_from(["affiliation", "id", "source", "position", "ror_id", "verdict", "note"]),
    STRINGS,
)


def _table(rows: list[list[str]], separator: str, ends: str) -> bytes:
    text = ends.join(separator.join(row) for row in rows)
    return text.encode("utf-8", "surrogatepass")


TABLES = st.builds(
    _table,
    st.lists(st.lists(CELLS, max_size=5), max_size=5).map(
        lambda rows: [["affiliation", "ror_id", "verdict", "id"], *rows]
    ),
    st.sampled_from([",", "\t", '","']),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
LINES = st.lists(VALUES.map(_written) | SENT.map(_written), max_size=4).map(b"\n".join)

HOSTILE: dict[str, st.SearchStrategy[bytes]] = {
    "normalisation": st.lists(STRINGS, max_size=6).map(
        lambda parts: "".join(parts).encode("utf-8", "surrogatepass")
    )
    | st.binary(max_size=64),
    "registry_record": changed_record().map(_written) | VALUES.map(_written),
    "registry_file": broken(
        st.lists(changed_record() | VALUES, max_size=2).map(_written) | NESTED | st.binary()
    ),
    "task_message": st.lists(SENT | VALUES, max_size=3).map(_written)
    | POLICIES.map(_written)
    | broken(VALUES.map(_written))
    | NESTED,
    "input_file": st.builds(
        bytes.__add__, st.binary(min_size=1, max_size=1), broken(TABLES | LINES)
    ),
    "overrides_file": broken(TABLES),
}


def drawn(name: str, count: int) -> list[bytes]:
    """Inputs for a target, the same in every run."""
    inputs: list[bytes] = []

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(data=HOSTILE[name])
    def keep(data: bytes) -> None:
        inputs.append(data)

    keep()
    return inputs


PIECES = [
    b"", b"\0", b"\xff", b"\xed\xa0\x80", b'"', b"\n", b",", b"[", b"]", b"{", b"}", b"\\u0000",
    b"\\ud800", b"&amp;", b"<p>", b"1e999", b"\xe2\x80\xae", b"\x1b[2J", b"\x1f\x8b", b"null",
]  # fmt: skip


def variants(data: bytes, count: int) -> Iterator[bytes]:
    """The input cut, with a piece more, a piece less, or a part of it twice; always the same."""
    for number in range(count):
        choice = random.Random(crc32(data) + number)
        place = choice.randrange(len(data) + 1)
        until = min(len(data), place + choice.randrange(1, 200))
        match choice.randrange(4):
            case 0:
                yield data[:place] + data[until:]
            case 1:
                yield data[:place] + choice.choice(PIECES) + data[place:]
            case 2:
                yield data[:place] + choice.choice(PIECES) + data[until:]
            case _:
                yield data[:until] + data[place:]
