"""The acronyms of an affiliation, and what it spells each of them out as.

"Universidade do Extremo Sul Catarinense (UNESC)" says itself whose acronym that is. Two rules find
the words:

- initials: letters of the acronym begin words that stand right before or after it, in their order.
  A word may give several letters ("UNESC": UNiversidade), words that join may be left out, and so
  may few others;
- brackets: the acronym stands alone in brackets after a name with a word for an organisation or a
  unit, whatever its initials: "Department of Mechanical Engineering (DMI)" may be in another
  language, or name the organisation above.

What only looks like an acronym is none: states, postcodes, countries, degrees, numbers of French
research units, initials of persons, addresses of mail and web, pieces of town names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import chain, pairwise
from operator import itemgetter

from resolver.text import vocabulary
from resolver.text.country import COUNTRY_FORMS, ENGLISH_NAMES
from resolver.text.gazetteer import STATE_CODES
from resolver.text.parts import WEB, is_generic
from resolver.text.text import Text
from resolver.text.words import CJK, words

LONGEST = 12
"""Most letters of an acronym."""

UNCASED = 8
"""Most letters where a text is all in capitals or all in small letters, and case tells nothing."""

WINDOW = 16
"""Words before or after an acronym among which its own are sought."""

_SKIPPED = 0.8
_TRAILING = 0.5
_MORE_LETTERS = 0.2
_INNER_LETTER = 0.6
_NO_WORD = 0.6
"""What it costs to leave out a word among those of an acronym, or between them and it; to take a
further letter from a word's beginning, or from inside it; to have no word for the last letter."""

_IN_BRACKETS = 0.5
"""What the way to an acronym in brackets may cost beside twice the limit of others."""

_MOST_OF_A_WORD = 4
"""Most letters of an acronym that one word gives."""

_HARD = re.compile(r"[;|\n()\[\]{}]")
_SOFT = re.compile(r"[;|\n()\[\]{},/:]")
_ADJACENT = re.compile(r"[,:(\[{]")
"""What may stand between an acronym and its words, once."""

_OPENS = re.compile(r"[(\[{]\W*$")
_CLOSES = re.compile(r"^\W*[)\]}]")
_DOTTED = re.compile(r"\. ?")
_TOWN = re.compile(
    r"\b\w+(?:[-\u2010\u2011](?:sur|sous|en|les|le|la|l|de|des|du|d|aux|et|saint|sainte|st|ste|am|an"
    r"|der|im|upon|on|under|by|cum)(?=[-\u2010\u2011']))[-\u2010\u2011'][\w\u2010\u2011'-]+",
    re.IGNORECASE,
)
"""As in "Gif-sur-Yvette"."""

_DEGREES = frozenset(
    words(
        "ba bsc btech beng bca bba ma msc ms mtech meng mca mba mph mpa llb llm jd cfa cpa md mbbs"
        " mbchb phd dphil dsc edd psyd pharmd dds dmd dvm dnb rn frcp frcs mrcp mrcs facp facs facc"
    )
)
_NEVER = frozenset(words("cedex orcid umr usr upr umi ums gdr email tel fax isbn issn doi"))
_NUMBERED = frozenset(words("ea ua ur ura fre erl irl emr bp cs tsa cp pb po rd km no nr box"))
"""Words that stand before a number: of a research unit, of a box, of a street."""

_COUNTRY_CODES = frozenset(ENGLISH_NAMES) | {"FIN"}
_UNIT_NUMBER = re.compile(r"(?:umr|usr|upr|umi|ums|gdr|ea|ua|ur|ura|fre|bp|cs)_?\d+|[a-z]\d{2,}")
_DASHED_NUMBER = re.compile(r"[-\u2013]\d{3}")
_POSTCODE = re.compile(r"[a-z]{1,2}\d{1,2}[a-z]?")
_POSTCODE_END = re.compile(r"\d[a-z]{2}")


@dataclass(frozen=True, slots=True)
class Acronym:
    """The acronym at one `position` of a text's units.

    `spelled_out` are the positions of the words that the text spells it out as, empty where it does
    not; `by_initials` says whether its letters begin these words.
    """

    position: int
    spelled_out: frozenset[int] = frozenset()
    by_initials: bool = False


def acronyms(text: Text) -> tuple[Acronym, ...]:
    """The acronyms of a text in order.

    Where the whole text has only capitals or only small letters, each word of at most `UNCASED`
    letters counts that is not generic.
    """
    return tuple(_finder(text).acronyms())


def not_acronyms(text: Text) -> frozenset[int]:
    """Positions of words that are no acronym, although an organisation may have such a one: states,
    degrees, persons, and, where the text has capitals, what is in small letters."""
    return frozenset(_finder(text).others())


@lru_cache(maxsize=8)
def _finder(text: Text) -> _Finder:
    """Both are asked of a text, one after the other."""
    return _Finder(text)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A word, or one of those that capitals show within it: "Neuro", "Imaging"."""

    position: int
    folded: str

    @property
    def joins(self) -> bool:
        return self.folded in vocabulary.LINK


class _Finder:
    """Reads one text. `written` are its units as they stand there, without dots; `cased` says
    whether both capitals and small letters occur; `barred` are addresses and names of towns."""

    def __init__(self, text: Text) -> None:
        self.text = text
        self.units = text.units
        written = [text.text[start:end] for start, end in text.spans]
        self.written = [_DOTTED.sub("", w) if "." in w else w for w in written]
        self.cased = any(map(str.islower, text.text)) and any(map(str.isupper, text.text))
        barred = chain(WEB.finditer(text.text), _TOWN.finditer(text.text))
        self.barred = [match.span() for match in barred]

    def acronyms(self) -> Iterator[Acronym]:
        for position in range(len(self.units)):
            if not self._has_the_letters(position) or self._is_barred(position):
                continue
            if spelled_out := self._initials(position):
                yield Acronym(position, spelled_out, by_initials=True)
            elif not self._is_something_else(position):
                yield Acronym(position, self._beside_brackets(position))

    def others(self) -> Iterator[int]:
        """Positions of what is no acronym."""
        for position, unit in enumerate(self.units):
            written = self.written[position]
            if (
                (self.cased and written.islower())
                or unit in vocabulary.PERSON
                or unit in vocabulary.REMARK
                or self._is_barred(position)
                or self._is_something_else(position)
            ):
                yield position

    # What is one

    def _has_the_letters(self, position: int) -> bool:
        """Whether it is written like an acronym."""
        unit, written = self.units[position], self.written[position]
        if self.cased and written[1:].islower():
            # Most words; such a one has a single capital at most.
            return False
        if written[0].isdigit() or not 2 <= len(written) <= 2 * LONGEST or CJK.search(unit):
            return False
        letters = sum(map(str.isalpha, written))
        if not 2 <= letters <= LONGEST:
            return False
        if not self.cased:
            return letters <= UNCASED and not _is_generic(unit)
        capitals = sum(map(str.isupper, written))
        if 2 * capitals > letters:
            return True
        return capitals >= 2 and written[0].isupper() and self._in_brackets(position)

    def _is_barred(self, position: int) -> bool:
        """Whether it is none whatever stands beside it."""
        unit, written = self.units[position], self.written[position]
        if unit in _NEVER or unit in _country_words() or _UNIT_NUMBER.fullmatch(unit):
            return True
        if written in STATE_CODES and position and self._is_state(position):
            return True
        start, end = self.text.spans[position]
        return any(first <= start and end <= last for first, last in self.barred)

    def _is_something_else(self, position: int) -> bool:
        """Whether it is none where no words beside it have its initials."""
        unit, written = self.units[position], self.written[position]
        if unit in _DEGREES:
            return True
        start, end = self.text.spans[position]
        following = self.units[position + 1] if position + 1 < len(self.units) else ""
        if following[:1].isdigit() and (
            unit in _NUMBERED
            or (_POSTCODE.fullmatch(unit) and _POSTCODE_END.fullmatch(following))
            or (written in _COUNTRY_CODES and _DASHED_NUMBER.match(self.text.text, end))
        ):
            return True
        as_written = self.text.text[start:end]
        # "(D.R.H.)" is who works there, "J. R. R. Smith" a person.
        return "." in as_written and (
            self._in_brackets(position) or (". " in as_written and len(written) < 4)
        )

    def _is_state(self, position: int) -> bool:
        """Whether a code of a state stands at the end of a place: after a comma, or before a
        number or the end."""
        start, end = self.text.spans[position]
        before = self.text.text[:start].rstrip()
        after = self.text.text[end:].lstrip(" .")
        return not after.startswith((")", "-", "\u2013")) and (
            before.endswith(",") or not after or after[0].isdigit()
        )

    def _in_brackets(self, position: int) -> bool:
        """Whether it stands alone in brackets."""
        start, end = self.text.spans[position]
        return bool(
            _OPENS.search(self.text.text[max(0, start - 3) : start])
            and _CLOSES.search(self.text.text[end : end + 3])
        )

    # What it stands for

    def _initials(self, position: int) -> frozenset[int]:
        """The words that have its letters, before it or else after it."""
        letters = "".join(c for c in self.units[position] if c.isalpha())
        limit = _limit(letters)
        if self._in_brackets(position):
            before = self._pieces(self._reach(position, -1, _HARD))
            found = _words(letters, before, limit=2 * limit + _IN_BRACKETS, trailing=2)
        else:
            before = self._pieces(self._reach(position, -1, _SOFT))
            found = _words(letters, before, limit=limit)
        if found:
            return frozenset(piece.position for piece in before[found[0] : found[1]])
        after = self._pieces(self._reach(position, 1, _SOFT))
        found = _words(letters, after, limit=limit, trailing=None, starts=_first(after))
        return frozenset(p.position for p in after[found[0] : found[1]]) if found else frozenset()

    def _beside_brackets(self, position: int) -> frozenset[int]:
        """The name before the brackets that it stands in, or in the brackets after it."""
        before = self._reach(position, -1, _SOFT) if self._in_brackets(position) else []
        if any(_names_something(self.units[p]) for p in before):
            return frozenset(before)
        _, end = self.text.spans[position]
        if re.match(r" ?[(\[]", self.text.text[end:]):
            after = self._reach(position, 1, _SOFT)
            if any(self.units[p] in vocabulary.ORGANISATION for p in after):
                return frozenset(after)
        return frozenset()

    def _reach(self, position: int, step: int, boundary: re.Pattern[str]) -> list[int]:
        """Positions in order from the neighbour of an acronym to the next boundary. One comma or
        bracket right beside the acronym is none."""
        reached: list[int] = []
        spans, text = self.text.spans, self.text.text
        here = position
        while 0 <= here + step < len(spans) and len(reached) < WINDOW:
            there = here + step
            first, second = sorted((here, there))
            between = text[spans[first][1] : spans[second][0]]
            if here == position:
                between = _ADJACENT.sub("", between, count=1)
            if boundary.search(between):
                break
            reached.append(there)
            here = there
        return sorted(reached)

    def _pieces(self, positions: Sequence[int]) -> list[_Piece]:
        """The words at these positions, cut before capitals within them."""
        pieces = []
        for position in positions:
            written, unit = self.written[position], self.units[position]
            cut = [
                i
                for i in range(1, len(written))
                if written[i].isupper() and written[i - 1].islower()
            ]
            if cut and len(written) == len(unit):
                bounds = [0, *cut, len(unit)]
                pieces += [_Piece(position, unit[a:b]) for a, b in pairwise(bounds)]
            else:
                pieces.append(_Piece(position, unit))
        return pieces


def _limit(letters: str) -> float:
    """What the way from an acronym to its words may cost outside brackets: nothing for two
    letters."""
    return 0.0 if len(letters) < 3 else 0.2 * (len(letters) - 1)


def _first(pieces: Sequence[_Piece]) -> range:
    """The places up to the first word that does not join."""
    first = next((i for i, piece in enumerate(pieces) if not piece.joins), len(pieces))
    return range(min(first + 1, len(pieces)))


def _words(
    letters: str,
    pieces: Sequence[_Piece],
    *,
    limit: float,
    trailing: int | None = 0,
    starts: Sequence[int] | None = None,
) -> tuple[int, int] | None:
    """Where the words that an acronym's letters stand for begin and end, or None.

    Of all ways that cost at most `limit` the cheapest is taken, of these the one that begins last.
    Beside words that join, at most `trailing` may follow (None: any number). They begin at one of
    `starts` (None: anywhere).
    """
    if not letters:
        return None
    ways = _Ways(letters, pieces, trailing)
    best: tuple[float, int, int] | None = None
    for start in range(len(pieces)) if starts is None else starts:
        cost, end, taken = ways.taking(0, start)
        if cost <= limit and taken > 1 and (best is None or cost <= best[0]):
            best = cost, start, end
    return best[1:] if best else None


_Way = tuple[float, int, int]
"""What it costs, where the words end, how many of them give a letter."""


class _Ways:
    """The cheapest ways from letters to words, each worked out once."""

    def __init__(self, letters: str, pieces: Sequence[_Piece], trailing: int | None) -> None:
        self.letters = letters
        self.pieces = pieces
        self.trailing = trailing
        self.known: dict[tuple[int, int], _Way] = {}

    def cheapest(self, letter: int, place: int) -> _Way:
        """From a letter on, by the words from a place on."""
        key = letter, place
        if key not in self.known:
            self.known[key] = self._cheapest(letter, place)
        return self.known[key]

    def _cheapest(self, letter: int, place: int) -> _Way:
        missing = len(self.letters) - letter
        if not missing:
            return self._end(place)
        ways = [_NO_WAY]
        if missing == 1 and letter >= 3:
            cost, end, taken = self._end(place)
            ways.append((cost + _NO_WORD, end, taken))
        if place < len(self.pieces):
            cost, end, taken = self.cheapest(letter, place + 1)
            ways.append((cost + (0.0 if self.pieces[place].joins else _SKIPPED), end, taken))
            ways.append(self.taking(letter, place))
        return min(ways, key=itemgetter(0))

    def taking(self, letter: int, place: int) -> _Way:
        """The same where the word at the place gives the first letter."""
        word = self.pieces[place].folded
        best = _NO_WAY
        spent = 0.0
        inside = 0
        for count in range(1, min(_MOST_OF_A_WORD, len(self.letters) - letter) + 1):
            found = word.find(self.letters[letter + count - 1], inside)
            if found < 0 or (count == 1 and found):
                break
            if count > 1:
                spent += _MORE_LETTERS if found == count - 1 else _INNER_LETTER
            inside = found + 1
            cost, end, taken = self.cheapest(letter + count, place + 1)
            best = min(best, (cost + spent, end, taken + 1), key=itemgetter(0))
        return best

    def _end(self, place: int) -> _Way:
        left = sum(not piece.joins for piece in self.pieces[place:])
        if self.trailing is None:
            return 0.0, place, 0
        return (_TRAILING * left, place, 0) if left <= self.trailing else _NO_WAY


_NO_WAY: _Way = (float("inf"), 0, 0)


def _names_something(unit: str) -> bool:
    return any(
        unit in lexicon for lexicon in (vocabulary.ORGANISATION, vocabulary.EITHER, vocabulary.UNIT)
    )


def _is_generic(unit: str) -> bool:
    return is_generic(unit) or unit in vocabulary.PLACE or unit in vocabulary.PERSON


@cache
def _country_words() -> frozenset[str]:
    """Countries that are written as one word: "USA", "UK", "OMAN"."""
    forms = (form for forms in COUNTRY_FORMS.values() for form in forms)
    every = [words(form) for form in (*ENGLISH_NAMES.values(), *forms)]
    return frozenset(form[0] for form in every if len(form) == 1)
