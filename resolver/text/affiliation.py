"""An affiliation: what a paper, grant or dataset says about where its authors work.

Everything that takes a text in makes an `Affiliation` of it, once: the matcher, the intake of
records, curators' decisions, evaluation, training, the command line. So all of them read it in the
same way and refuse the same texts.
"""

from __future__ import annotations

import hashlib
import html
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Self

from resolver.text.acronyms import Acronym, acronyms
from resolver.text.cached_property import cached_property
from resolver.text.damage import respaced, restored
from resolver.text.parts import Part, parts
from resolver.text.segments import divided, searched, segments
from resolver.text.statements import statements
from resolver.text.text import Text
from resolver.text.words import undotted

MAX_CHARACTERS = 10_000
"""Longest text taken for an affiliation. The longest of the 14,264 training strings has 444
characters; anything beyond this is a mistake (an article in the field), answered with a reason and
not searched. The limit holds for the text as it came, so that no more is ever read, and again for
the normalised one: one character can become eighteen."""

_TAG = re.compile(r"</?[A-Za-z][^<>]{0,200}>")
_LONG_NUMBER = re.compile("&#([0-9]{20,});?")
"""No character has so large a number, and `html.unescape` fails on thousands of digits. The first
eight digits after the zeros are enough to see that there is none."""

_LONE_WORD = re.compile(r"[a-z]{3,5}")
"""A text that is an acronym in small letters, if it names anything."""

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""What a text in Postgres cannot contain: NUL, and surrogates that belong to no pair."""


class Refusal(StrEnum):
    """Why a text is not searched."""

    EMPTY = "empty"
    """Nothing is left of it without markup and invisible characters."""

    TOO_LONG = "too_long"
    """It is longer than any affiliation."""


@dataclass(frozen=True)
class Affiliation(Text):
    """A text as it came, `raw`, and what is made of it.

    `text` is what is matched, stored and hashed: normalised, 1 to `MAX_CHARACTERS` characters.
    `refused` says why it is not searched, None where it is. The text is "" where it is empty, and
    the first `MAX_CHARACTERS` + 1 characters where it is too long. An affiliation made of a `text`
    again has the same text.
    """

    raw: str
    refused: Refusal | None = None

    @classmethod
    def of(cls, raw: str) -> Self:
        """Any `str` that came in. One that is too long takes no more work than its beginning."""
        if len(raw) > MAX_CHARACTERS:
            return cls.stored(raw[: MAX_CHARACTERS + 1], raw=raw)
        return cls.stored(normalise(raw), raw=raw)

    @classmethod
    def stored(cls, text: str, *, raw: str | None = None) -> Self:
        """One whose `text` was normalised before, as it is in the database."""
        raw = text if raw is None else raw
        if len(text) > MAX_CHARACTERS:
            shown = _UNSTORABLE.sub("\ufffd", text[: MAX_CHARACTERS + 1])
            return cls(shown, raw, Refusal.TOO_LONG)
        return cls(text, raw, None if text else Refusal.EMPTY)

    @cached_property
    def pieces(self) -> tuple[Text, ...]:
        """All that stands between commas and the like, in order, with its white space. Their units
        are those of the whole text."""
        return tuple(map(Text, divided(self.text)))

    @cached_property
    def segments(self) -> tuple[str, ...]:
        """The pieces with a word in them, without white space (`resolver.text.segments`)."""
        return tuple(segments(self.text))

    @cached_property
    def searched(self) -> tuple[str, ...]:
        """The segments that may name an organisation: those searched by themselves."""
        return tuple(searched(self.segments))

    @cached_property
    def statements(self) -> tuple[Statement, ...]:
        """The affiliations that the text is made of, in order; mostly it is one, itself."""
        spans = statements(self.text)
        if len(spans) == 1:
            return (Statement(0, self),)
        return tuple(
            Statement(start, Affiliation.stored(self.text[start:end])) for start, end in spans
        )

    @cached_property
    def model_text(self) -> str:
        """What the reranker reads: acronyms without dots, and in capitals where the text is nothing
        but a short word in small letters. It tells "cern" from CERN."""
        text = undotted(self.text)
        return text.upper() if _LONE_WORD.fullmatch(text) else text

    @cached_property
    def acronyms(self) -> tuple[Acronym, ...]:
        """Its acronyms in order, each with what the text spells it out as."""
        return acronyms(self)

    def parts(self, places: Iterable[str] = ()) -> list[Part]:
        """What each part of the text is (`resolver.text.parts.parts`), given the names of cities
        and regions that may be meant."""
        return parts(self.text, places)


class Statement(NamedTuple):
    """One of the affiliations that a text is made of; it begins at character `start` of the text
    (`resolver.text.statements`)."""

    start: int
    affiliation: Affiliation


def normalise(raw: str) -> str:
    """The text that is matched, stored and hashed.

    HTML entities (also doubly escaped) and tags are resolved, damage is mended
    (`resolver.text.damage`), compatibility characters are folded (NFKC), lone surrogates and
    control characters replaced, invisible formatting removed, white space made single. Case,
    accents and script stay. Any `str` is taken; the result can be stored in Postgres, and
    normalising it again changes nothing. Memory and time grow with the text: `Affiliation.of`
    limits it first.
    """
    text = raw
    passes = 0
    # Until nothing changes: a step can make what another step must see again.
    while (following := _normalise_once(text)) != text:
        text = following
        passes += 1
        if passes > MAX_PASSES:
            text = text.translate(_NO_MARKUP)
        if passes > 2 * MAX_PASSES:
            text = text.encode("ascii", "ignore").decode()
    return text


MAX_PASSES = 8
"""Each pass resolves one layer of escaping; real data has at most two. Where there are more it is
no markup: the characters that begin markup are removed, and with them what could make further
passes (at most three follow, for characters that are composed). After twice as many the text loses
what is not ASCII, so that it settles whatever it is."""

_NO_MARKUP = {ord(mark): " " for mark in "&<\\{$`"}


def _normalise_once(text: str) -> str:
    if "&" in text:
        text = unescaped(text)
    text = restored(text)
    if "<" in text:
        text = _TAG.sub(" ", text)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    if not text.isprintable():
        text = "".join(map(_visible, text))
    return " ".join(respaced(text).split())


def unescaped(text: str) -> str:
    """A text with one layer of HTML's escapes resolved."""
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
