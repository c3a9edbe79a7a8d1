"""An affiliation: what a paper, grant or dataset says of where its authors work."""

from __future__ import annotations

import hashlib
import html
import re
import unicodedata
from dataclasses import dataclass

MAX_CHARACTERS = 10_000
"""Longest text taken for an affiliation. The longest of the 14,264 training strings has 444
characters; beyond this it is a mishap (an article in the field), answered with a reason, not
searched."""

_TAG = re.compile(r"</?[A-Za-z][^<>]{0,200}>")
_SPACE = re.compile(r"\s+")
_KEPT_CONTROLS = frozenset("\t\n\r\v\f")


def normalise(raw: str) -> str:
    """The text that is matched, stored and hashed.

    HTML entities (also doubly escaped) and tags are resolved, compatibility
    characters folded (NFKC), lone surrogates and control characters replaced,
    invisible formatting removed, white space made single. Case, accents and
    script stay. Any `str` is taken; the result can be stored in Postgres. Idempotent up to
    eight layers of escaping.
    """
    text = raw
    # A fixed point: unescaping or NFKC can bring forth what another step must see again.
    for _ in range(_MAX_PASSES):
        previous = text
        text = _normalise_once(text)
        if text == previous:
            break
    return text


_MAX_PASSES = 8
"""Each pass peels one layer of escaping; real data has at most two."""


def _normalise_once(text: str) -> str:
    if "&" in text:
        text = html.unescape(text)
    if "<" in text:
        text = _TAG.sub(" ", text)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    if not text.isprintable():
        text = "".join(map(_visible, text))
    return _SPACE.sub(" ", text).strip()


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


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """One affiliation as a source sent it.

    `source` names the sender ("crossref"), `external_id` its record (a DOI), and
    `position` tells several affiliations of one record apart, from 0.
    """

    source: str
    external_id: str
    affiliation: str
    position: int = 0
