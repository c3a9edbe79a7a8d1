"""Words of a text, and which words of an affiliation match a name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence

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
    return words_of_folded(fold(text))


def words_of_folded(folded: str) -> list[str]:
    """The `words` of a text that is folded already."""
    if folded.isascii():
        # No article and no CJK: the same words, in a fifth of the time.
        return _WORD.findall(folded)
    return [folded[start:end] for start, end in _word_spans(folded)]


def _word_spans(folded: str) -> Iterator[tuple[int, int]]:
    """Where the words of a folded text stand: first character, and the one after the last."""
    for match in _WORD.finditer(folded):
        position, end = match.span()
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


def units(text: str) -> list[str]:
    """Folded words in order, each CJK character being one: what names are compared by."""
    return split_cjk(words(text))


def split_cjk(words: Iterable[str]) -> list[str]:
    """The words with each run of CJK characters cut into its characters."""
    split: list[str] = []
    for word in words:
        if CJK.fullmatch(word):
            split.extend(word)
        else:
            split.append(word)
    return split


def spans(text: str) -> list[tuple[int, int]]:
    """Where each of the text's `units` stands in it: first character, and the one after its last.

    Folding changes lengths: "ß" is two folded letters, "é" may be two characters, "㈱" is a word
    with brackets. A unit has every character that any of it came from, so that neighbouring units
    may share one.
    """
    if text.isascii():
        # No character is folded to several, nor any of CJK: the same in a tenth of the time.
        return [match.span() for match in _WORD.finditer(text)]
    folded, origins = _folded_with_origins(text)
    spans: list[tuple[int, int]] = []
    for start, end in _word_spans(folded):
        units = [(start, end)]
        if CJK.fullmatch(folded, start, end):
            units = [(position, position + 1) for position in range(start, end)]
        spans.extend((origins[first][0], origins[last - 1][1]) for first, last in units)
    return spans


def _folded_with_origins(text: str) -> tuple[str, list[tuple[int, int]]]:
    """`fold`, and for each character of it the characters of the text that it came from.

    A letter is folded together with the marks and vowels that attach to it, and with nothing else.
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
    """Whether a character may be composed with the one before it: a mark, or a conjoining jamo."""
    first = unicodedata.normalize("NFKD", character)[0]
    return unicodedata.category(first).startswith("M") or "\u1160" <= first <= "\u11ff"


_SHARED = 3
"""Letters at the beginning that two spellings of a word share at least."""


def same(a: str, b: str) -> bool:
    """Whether two folded words are the same word: equal, abbreviated or differently inflected.

    "univ" is "university", "universitat" is "university"; "graz" is not "grazer".
    """
    if a == b:
        return True
    shorter, longer = sorted((len(a), len(b)))
    shared = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), shorter)
    return (shared == shorter >= _SHARED and longer >= shorter + 3) or shared >= max(
        5, 0.7 * longer
    )


ByBeginning = Mapping[str, Sequence[tuple[int, str]]]
"""The units of a text with their positions, by their first letters."""


def by_beginning(units: Iterable[str]) -> ByBeginning:
    """Words that are the `same` begin the same, so most of a text need not be compared."""
    alike: dict[str, list[tuple[int, str]]] = {}
    for position, unit in enumerate(units):
        alike.setdefault(unit[:_SHARED], []).append((position, unit))
    return alike


def matched_words(
    text: ByBeginning, name: Iterable[str], claimed: frozenset[int] = frozenset()
) -> frozenset[int]:
    """Positions of the units of a text that match the units of a name.

    Of all windows of the text the one is taken that has most of the name's words at positions that
    are not `claimed`; of equal windows the shortest, then the first. Each word of the name matches
    one position at most. Empty when no word matches.
    """
    length = 0
    matches: dict[int, set[int]] = {}
    for i, word in enumerate(name):
        length += 1
        for position, unit in text.get(word[:_SHARED], ()):
            if position not in claimed and same(unit, word):
                matches.setdefault(position, set()).add(i)
    free = sorted(matches.items())
    best: tuple[int, int, frozenset[int]] = (0, 0, frozenset())
    # A name may be interrupted ("University of California at San Diego"), not scattered.
    longest = 2 * length + 2
    for start in range(len(free)):
        words_met: set[int] = set()
        positions: set[int] = set()
        for position, alike in free[start:]:
            width = position - free[start][0] + 1
            if width > longest:
                break
            new = alike - words_met
            if not new:
                continue
            words_met.add(min(new))
            positions.add(position)
            if (len(words_met), -width) > best[:2]:
                best = (len(words_met), -width, frozenset(positions))
    return best[2]
