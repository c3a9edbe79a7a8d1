"""Words of a text, and which words of an affiliation match a name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

_MARKS = "".join(
    re.escape(chr(code))
    for first, last in ((0x0300, 0x0DFF), (0x10A0, 0x177F))
    for code in range(first, last + 1)
    if unicodedata.category(chr(code)).startswith("M")
)
"""Combining marks, which stand within words and which \\w leaves out. Those of Thai, Lao, Tibetan,
Burmese are no part of a word: these scripts have no spaces, and their marks cut a run
into pieces of about a syllable, on both sides alike."""

_LETTER = r"[^\W\d_\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
"""A letter that is not `CJK`."""

_DOTTED = rf"{_LETTER}(?:(?:\.{_LETTER}(?![\w{_MARKS}])){{2,}}|(?:\. ?{_LETTER}(?=\.)){{2,}})"
"""Three letters or more with a dot after each, which are one word: "C.S.I.R.O.", "U. S. A.".
Without spaces the last dot may be missing. Two are mostly initials of a person."""

_WORD = re.compile(rf"{_DOTTED}|[\w{_MARKS}]+")

_WITH_DOTS = re.compile(rf"(?<![\w.]){_DOTTED}\.?")
_DOTS = str.maketrans("", "", ". ")

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
    """Folded words in order, an unbroken run of CJK characters being one. Letters with dots
    ("C.S.I.R.O.") are one word, without the dots.

    Arabic and Hebrew words lose their article: a name may have it where a text does not.
    """
    return words_of_folded(fold(text))


def words_of_folded(folded: str) -> list[str]:
    """The `words` of a text that is folded already."""
    if folded.isascii():
        # No article and no CJK: the same words, in a fifth of the time.
        found = _WORD.findall(folded)
        return [word.translate(_DOTS) for word in found] if "." in folded else found
    return [folded[start:end].translate(_DOTS) for start, end in _word_spans(folded)]


def undotted(text: str) -> str:
    """The text with letters with dots as one word: "CSIRO, Canberra" of "C.S.I.R.O., Canberra"."""
    if "." not in text:
        return text
    return _WITH_DOTS.sub(lambda dotted: dotted.group().translate(_DOTS), text)


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


def with_articles(text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The `spans` of a text's units, each with the article before it, which is written as part of
    the word and which the unit leaves out."""
    wide: list[tuple[int, int]] = []
    before = 0
    for start, end in spans:
        first = start
        while first > before and _WORD.fullmatch(text, first - 1, first):
            first -= 1
        wide.append((first, end))
        before = end
    return wide


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

_STEM = 5
"""Letters at the beginning that two inflections of a word share at least."""

_WHOLE = frozenset(
    {"and", "aus", "ben", "das", "del", "dem", "den", "der", "des", "die", "for", "from", "las"}
    | {"les", "los", "mit", "new", "non", "par", "por", "pour", "pro", "san", "sub", "sul", "sun"}
    | {"sur", "the", "und", "van", "von", "with", "zum", "zur"}
)
"""Words of three or four letters that abbreviate no other word: "for" is not "forest"."""

_ENDING = re.compile("(?:er|[aeiouynsmаеиоуыэюяйьіїмх])+")
"""What inflection adds to a short word: "milan" is "milano", and "inria" is not "inrial"."""

_SHORT = 6
"""A word of no more letters is inflected by an `_ENDING` only."""


def same(a: str, b: str) -> bool:
    """Whether two folded words are the same word: equal, abbreviated or differently inflected.

    "univ" is "university", "universitat" is "university"; "graz" is not "grazer". An abbreviation
    leaves out three letters or more. Words of five letters or six are inflected by a vowel, "n",
    "s" and the like only, since many of them are acronyms ("inria", "inrial"). Whether a word is
    written as an acronym, only the text tells (`capitals`).
    """
    if a == b:
        return True
    if len(a) > len(b):
        a, b = b, a
    shorter, longer = len(a), len(b)
    if shorter < _SHARED:
        return False
    if b.startswith(a):
        if longer >= shorter + 3:
            return a not in _WHOLE
        return shorter >= _STEM and (shorter > _SHORT or bool(_ENDING.fullmatch(b, shorter)))
    shared = next(i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y)
    return shared >= _STEM and shared >= 0.7 * longer


_CAPITAL_LETTERS = re.compile("[A-Z].?[A-Z]")
"""What every word has that is mostly in capitals."""


def capitals(text: str) -> frozenset[str]:
    """The folded words that a text writes as acronyms: mostly in capitals, beside none that is.

    Words in capitals beside each other may be any words ("UNIV OXFORD"), so none of them counts.
    """
    if text.isascii() and not _CAPITAL_LETTERS.search(text):
        return frozenset()
    written = _WORD.findall(text)
    # Most words have small letters only from the second on, and need not be counted.
    shouted = [
        len(word) > 1 and not word[1:].islower() and sum(map(str.isupper, word)) > len(word) / 2
        for word in written
    ]
    if not any(shouted):
        return frozenset()
    beside = zip([False, *shouted], [*shouted[1:], False], strict=False)
    return frozenset(
        fold(word)
        for word, is_capital, (before, after) in zip(written, shouted, beside, strict=True)
        if is_capital and not before and not after
    )


ByBeginning = Mapping[str, Sequence[tuple[int, str]]]
"""The units of a text with their positions, by their first letters."""


def by_beginning(units: Iterable[str]) -> ByBeginning:
    """Words that are the `same` begin the same, so most of a text need not be compared."""
    alike: dict[str, list[tuple[int, str]]] = {}
    for position, unit in enumerate(units):
        alike.setdefault(unit[:_SHARED], []).append((position, unit))
    return alike


def matching(
    text: ByBeginning, name: Iterable[str], whole: Container[str] = frozenset()
) -> list[list[int]]:
    """For each unit of a name the positions of the units of a text that are the `same`, ascending.

    Words that are `whole`, like the `capitals` of both, must be equal.
    """
    return [
        [
            position
            for position, unit in text.get(word[:_SHARED], ())
            if unit == word or (word not in whole and unit not in whole and same(unit, word))
        ]
        for word in name
    ]


def matched_words(
    alike: Sequence[Sequence[int]], claimed: frozenset[int] = frozenset()
) -> frozenset[int]:
    """Positions of the units of a text that match a name, given those that match each unit of it
    (`matching`).

    Of all windows of the text the one is taken that has most of the name's words at positions that
    are not `claimed`; of equal windows the shortest, then the first. Each word of the name matches
    one position at most. Empty when no word matches.
    """
    # The words of the name that match a position, a bit for each.
    matches: dict[int, int] = {}
    bit = 1
    pairs = matching_words = 0
    for positions in alike:
        before = pairs
        for position in positions:
            if position not in claimed:
                matches[position] = matches.get(position, 0) | bit
                pairs += 1
        matching_words += pairs > before
        bit <<= 1
    # A name may be interrupted ("University of California at San Diego"), not scattered.
    longest = 2 * len(alike) + 2
    if pairs == len(matches) == matching_words and (
        pairs < 2 or max(matches) - min(matches) < longest
    ):
        # Nothing to choose: each of these words matches one position, which no other one matches.
        return frozenset(matches)
    free = sorted(matches.items())
    most, width_of_best = 0, 0
    best: list[int] = []
    for start in range(len(free)):
        if len(free) - start < most:
            break
        first = free[start][0]
        met = 0
        taken: list[int] = []
        for position, its_words in free[start:]:
            width = position - first + 1
            if width > longest:
                break
            new = its_words & ~met
            if not new:
                continue
            met |= new & -new
            taken.append(position)
            if len(taken) > most or (len(taken) == most and width < width_of_best):
                most, width_of_best, best = len(taken), width, taken.copy()
    return frozenset(best)
