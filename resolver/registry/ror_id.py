"""ROR ids: the only place that reads them, from a file, a command, a record or a text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator

ROR_URL = "https://ror.org/"
"""Prefix of a ROR id in its full form (ROR documentation, "ROR identifier pattern")."""

_ID = "0[a-hj-km-np-tv-z0-9]{6}[0-9]{2}"
"""Nine characters of Crockford's alphabet (no i, l, o, u), the last two check digits (ROR
documentation, "ROR identifier pattern")."""

# Without ASCII, "ſ" and the Kelvin sign would pass for letters.
_WRITTEN = re.compile(rf"(?:(?:https?://)?ror\.org/)?({_ID})/?", re.ASCII | re.IGNORECASE)
_WITHIN = re.compile(
    rf"\b(?:https?://)?(ror\.org/|ror(?:[ -]?id)?\W{{1,4}})?\b({_ID})\b", re.ASCII | re.IGNORECASE
)

_CROCKFORD_DIGITS = str.maketrans("abcdefghjkmnpqrstvwxyz", "abcdefghijklmnopqrstuv")
"""Crockford's base 32 to the digits that `int(text, 32)` reads."""

_SHOWN = 80
"""Characters of a text that an error quotes."""


def read_ror_id(text: object) -> str:
    """The nine characters of a ROR id, in lower case.

    The id may be bare (``052gg0110``) or an address, with or without ``https://`` and a slash at
    the end, in upper or lower case, with white space around it. Its check digits must be right:
    those of all ids of releases 2.8 and 2.9 are, and a mistyped id would name another organisation
    or none.

    Raises:
        ValueError: it is no ROR id; quotes it. No value but a `str` is accepted.
    """
    if not isinstance(text, str):
        raise ValueError(f"{_shown(text)} is no ROR id, such as 052gg0110")
    match = _WRITTEN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{_shown(text.strip())} is no ROR id, such as 052gg0110")
    ror_id = match[1].lower()
    if not _fits(ror_id):
        raise ValueError(f"{_shown(text.strip())} is no ROR id: its check digits do not fit")
    return ror_id


RorId = Annotated[str, AfterValidator(read_ror_id)]
"""A field of a pydantic model that holds a ROR id; it comes out as its nine characters."""


def ror_ids_in(text: str) -> Iterator[tuple[str, int, int]]:
    """The ROR ids in a text, in order: each with its first character, and the one after its last.

    They are addresses ("ror.org/052gg0110"), marked ("ROR: 052gg0110") or bare. A bare one must
    have a letter, for nine digits are more often a telephone number.
    """
    for match in _WITHIN.finditer(text):
        mark, ror_id = match[1], match[2].lower()
        if (mark or not ror_id.isdigit()) and _fits(ror_id):
            yield ror_id, match.start(), match.end()


def _fits(ror_id: str) -> bool:
    """ISO/IEC 7064 MOD 97-10 over the first seven, read as a number in Crockford's base 32."""
    number = int(ror_id[:7].translate(_CROCKFORD_DIGITS), 32)
    return 98 - number * 100 % 97 == int(ror_id[7:])


def _shown(value: object) -> str:
    # Shortened first: quoting a text of megabytes would take as much memory again.
    return ascii(value[:_SHOWN] if isinstance(value, str) else value)[: 4 * _SHOWN]
