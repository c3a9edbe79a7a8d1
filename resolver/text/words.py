"""Words of a text, and which words of an affiliation a name stands on."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

_MARKS = "".join(
    re.escape(chr(code))
    for first, last in ((0x0300, 0x0DFF), (0x10A0, 0x177F))
    for code in range(first, last + 1)
    if unicodedata.category(chr(code)).startswith("M")
)
"""Combining marks, which stand within words and which \\w leaves out. Those of Thai, Lao, Tibetan,
Burmese are no part of a word: these scripts have no spaces, and their marks cut a run
into pieces of about a syllable, on both sides alike."""

_WORD = re.compile(rf"[\w{_MARKS}]+")

CJK = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]+")
"""Han, kana, Hangul: written without spaces, or with particles attached."""


LATIN = "LATIN"

_ACCENTS = re.compile(
    "["
    "\u0300-\u036f"  # of Latin, Greek and Cyrillic
    "\u0591-\u05c7"  # Hebrew points
    "\u0610-\u061a\u064b-\u065f\u0670\u0640"  # Arabic vowel signs, hamza on its seat, stretching
    "]"
)
"""Marks that one author writes and another leaves out. Those of Indic scripts, Thai or kana are
letters and stay."""

_LETTERS = str.maketrans(
    {"ى": "ي", "ی": "ي", "ک": "ك", "ة": "ه", "ۀ": "ه"}
    | {"ı": "i", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h"}
    | {"æ": "ae", "œ": "oe", "þ": "th"}
)
"""Arabic letters that Persian writes otherwise, or that final position makes look alike; Latin
letters with a stroke or joined, which Unicode does not decompose and ASCII keyboards lack."""

_ARTICLE = re.compile(r"و?ال(?=\w{3})|ה(?=\w{3})")
"""The definite article (and "and the") of Arabic and Hebrew, written as part of the word."""


def fold(text: str) -> str:
    """Lower case without accents: what two spellings of a name share."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    return unicodedata.normalize("NFC", _ACCENTS.sub("", decomposed).translate(_LETTERS))


def script(text: str) -> str:
    """The script of a text's first letter, by its Unicode name: "LATIN", "HANGUL", "THAI"; Han and
    kana are "CJK". Empty without letters."""
    letter = next((c for c in text if c.isalpha()), "")
    name = unicodedata.name(letter, "").partition(" ")[0] if letter else ""
    return "CJK" if name in {"HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"} else name


def words(text: str) -> list[str]:
    """Folded words in order, an unbroken run of CJK characters being one.

    Arabic and Hebrew words lose their article: a name may have it where a text does not.
    """
    folded = fold(text)
    if folded.isascii():
        # No article and no CJK: the same words, in a fifth of the time.
        return _WORD.findall(folded)
    return [folded[start:end] for start, end in _pieces(folded)]


def _pieces(folded: str) -> Iterator[tuple[int, int]]:
    """Where the words of a folded text stand, from and to before."""
    for found in _WORD.finditer(folded):
        position, end = found.span()
        article = _ARTICLE.match(folded, position, end)
        if article:
            position = article.end()
        for run in CJK.finditer(folded, position, end):
            if run.start() > position:
                yield position, run.start()
            yield run.span()
            position = run.end()
        if position < end:
            yield position, end


def holds(flat: str, phrase: str | None) -> bool:
    """Whether folded words, joined and padded by spaces, hold those of a phrase."""
    found = padded(phrase) if phrase else ""
    return bool(found) and found in flat


# Cities and regions return as organisations do.
@lru_cache(maxsize=1 << 14)
def padded(phrase: str) -> str:
    """The folded words of a phrase, joined by spaces and with one at either end; empty without."""
    found = " ".join(words(phrase))
    return found and f" {found} "


def units(text: str) -> list[str]:
    """Folded words in order, each CJK character being one: what `ground` counts in."""
    found: list[str] = []
    for word in words(text):
        if CJK.fullmatch(word):
            found.extend(word)
        else:
            found.append(word)
    return found


def spans(text: str) -> list[tuple[int, int]]:
    """Where each of the text's `units` stands in it: first character, and the one after its last.

    Folding changes lengths: "ß" is two folded letters, "é" may be two characters, "㈱" is a word
    with brackets. A unit has every character that any of it came from, so that neighbouring units
    may share one.
    """
    folded, origins = _folded_with_origins(text)
    found: list[tuple[int, int]] = []
    for start, end in _pieces(folded):
        whole = [(start, end)]
        if CJK.fullmatch(folded, start, end):
            whole = [(position, position + 1) for position in range(start, end)]
        found.extend((origins[first][0], origins[last - 1][1]) for first, last in whole)
    return found


def _folded_with_origins(text: str) -> tuple[str, list[tuple[int, int]]]:
    """`fold`, and for each character of it the characters of the text that it came from.

    A letter and the marks and vowels that attach to it fold together, and nothing else does.
    """
    if text.isascii():
        return fold(text), [(i, i + 1) for i in range(len(text))]
    folded: list[str] = []
    origins: list[tuple[int, int]] = []
    start = 0
    while start < len(text):
        end = start + 1
        while end < len(text) and _attaches(text[end]):
            end += 1
        piece = fold(text[start:end])
        folded.append(piece)
        origins.extend([(start, end)] * len(piece))
        start = end
    return "".join(folded), origins


def _attaches(character: str) -> bool:
    """Whether a character may melt into the one before it: a mark, or a conjoining jamo."""
    first = unicodedata.normalize("NFKD", character)[0]
    return unicodedata.category(first).startswith("M") or "\u1160" <= first <= "\u11ff"


_SHARED = 3
"""Letters at the beginning that two spellings of a word share at least."""


def same(a: str, b: str) -> bool:
    """Whether two folded words are one: equal, abbreviated, or differently inflected.

    "univ" is "university", "universitat" is "university"; "graz" is not "grazer".
    """
    if a == b:
        return True
    shorter, longer = sorted((len(a), len(b)))
    shared = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), shorter)
    return (shared == shorter >= _SHARED and longer >= shorter + 3) or shared >= max(
        5, 0.7 * longer
    )


def ground(
    text: Sequence[str], name: Sequence[str], claimed: frozenset[int] = frozenset()
) -> frozenset[int]:
    """Positions in `text` that `name` stands on; both as `units`.

    The window of the text is taken that holds most of the name's words on positions not
    `claimed`; each word of the name stands on one position at most, and of equal windows the
    shorter, then the earlier one is taken. Empty when nothing is left for the name.
    """
    # Words that are the same begin the same, so most need no comparison.
    beginnings: dict[str, list[tuple[int, str]]] = {}
    for i, word in enumerate(name):
        beginnings.setdefault(word[:_SHARED], []).append((i, word))
    free = []
    for position, unit in enumerate(text):
        alike = beginnings.get(unit[:_SHARED])
        if alike and position not in claimed:
            matched = {i for i, word in alike if same(unit, word)}
            if matched:
                free.append((position, matched))
    best: tuple[int, int, frozenset[int]] = (0, 0, frozenset())
    # A name may be interrupted ("University of California at San Diego"), not scattered.
    reach = 2 * len(name) + 2
    for start in range(len(free)):
        met: set[int] = set()
        stands: set[int] = set()
        for position, matched in free[start:]:
            length = position - free[start][0] + 1
            if length > reach:
                break
            new = matched - met
            if not new:
                continue
            met.add(min(new))
            stands.add(position)
            if (len(met), -length) > best[:2]:
                best = (len(met), -length, frozenset(stands))
    return best[2]
