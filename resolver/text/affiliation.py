"""An affiliation: what a paper, grant or dataset says of where its authors work.

Whatever takes a text in makes an `Affiliation` of it, once: the matcher, the intake of records, who
says what a text is, evaluation, training, the command line. So all are of one mind about what it
says and whether it is refused.
"""

from __future__ import annotations

import hashlib
import html
import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

MAX_CHARACTERS = 10_000
"""Longest text taken for an affiliation. The longest of the 14,264 training strings has 444
characters; beyond this it is a mishap (an article in the field), answered with a reason, not
searched. It holds for the text as it came, so that no more is ever read, and again for what is made
of that: one character can stand for eighteen."""

_TAG = re.compile(r"</?[A-Za-z][^<>]{0,200}>")
_SPACE = re.compile(r"\s+")
_LONG_NUMBER = re.compile("&#([0-9]{20,});?")
"""No character has so large a number, and of thousands of digits `html.unescape` makes an error.
The first eight that count say as well that there is none."""

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""What a text of Postgres cannot hold: NUL, and surrogates that belong to no pair."""


class Refusal(StrEnum):
    """Why a text is not searched."""

    EMPTY = "empty"
    """Nothing is left of it when markup and what is invisible are gone."""

    TOO_LONG = "too_long"
    """It is longer than any affiliation."""


@dataclass(frozen=True, slots=True)
class Affiliation:
    """A text as it came, and what is made of it.

    `text` is what is matched, stored and hashed: normalised, 1 to `MAX_CHARACTERS` characters.
    `refused` says why it is not searched, None where it is. The text of one that is empty is "", of
    one that is too long the first `MAX_CHARACTERS` + 1 characters, which show that it is. What is
    made of `text` is the same again.
    """

    raw: str
    text: str
    refused: Refusal | None = None

    @classmethod
    def of(cls, raw: str) -> Self:
        """What came in. Any `str` is taken; the work does not grow with one that is too long."""
        if len(raw) > MAX_CHARACTERS:
            return cls.stored(raw[: MAX_CHARACTERS + 1], raw=raw)
        return cls.stored(normalise(raw), raw=raw)

    @classmethod
    def stored(cls, text: str, *, raw: str | None = None) -> Self:
        """One whose `text` was made before, as it is in the database."""
        if len(text) > MAX_CHARACTERS:
            shown = _UNSTORABLE.sub("\ufffd", text[: MAX_CHARACTERS + 1])
            return cls(text if raw is None else raw, shown, Refusal.TOO_LONG)
        return cls(text if raw is None else raw, text, None if text else Refusal.EMPTY)


def normalise(raw: str) -> str:
    """The text that is matched, stored and hashed.

    HTML entities (also doubly escaped) and tags are resolved, compatibility
    characters folded (NFKC), lone surrogates and control characters replaced,
    invisible formatting removed, white space made single. Case, accents and
    script stay. Any `str` is taken; the result can be stored in Postgres, and normalised again it
    is the same. Memory and time grow with the text: `Affiliation.of` bounds it first.
    """
    text = raw
    passes = 0
    # A fixed point: unescaping or NFKC can bring forth what another step must see again.
    while (following := _normalise_once(text)) != text:
        text = following
        passes += 1
        if passes > MAX_PASSES:
            text = text.translate(_NO_MARKUP)
    return text


MAX_PASSES = 8
"""Each pass peels one layer of escaping; real data has at most two. What is wrapped in more is no
markup: its "&" and "<" go, and with them all that could make further passes (three at most follow,
for characters that come together)."""

_NO_MARKUP = {ord(mark): " " for mark in "&<"}


def _normalise_once(text: str) -> str:
    if "&" in text:
        text = unescaped(text)
    if "<" in text:
        text = _TAG.sub(" ", text)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    if not text.isprintable():
        text = "".join(map(_visible, text))
    return _SPACE.sub(" ", text).strip()


def unescaped(text: str) -> str:
    """One layer of HTML's escapes resolved."""
    return html.unescape(_LONG_NUMBER.sub(_shortened, text))


def _shortened(escape: re.Match[str]) -> str:
    return f"&#{escape[1].lstrip('0')[:8]};"


def _visible(character: str) -> str:
    match unicodedata.category(character):
        case "Cc":
            return " "
        case "Cf":
            return ""
        case "Cs":
            return "\ufffd"
        case _:
            return character


def text_hash(text: str) -> bytes:
    """16 bytes of BLAKE2b over the normalised text: the identity of an affiliation."""
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
