"""Words of a text, and which words of an affiliation a name stands on."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_WORD = re.compile(r"\w+")

CJK = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]+")
"""Han, kana, Hangul: written without spaces, or with particles attached."""


def fold(text: str) -> str:
    """Lower case without accents: what two spellings of a name share."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    return unicodedata.normalize("NFC", "".join(c for c in decomposed if not _is_accent(c)))


def _is_accent(character: str) -> bool:
    # Only the marks of Latin, Greek and Cyrillic are accents; those of Indic scripts, Thai
    # or kana are letters.
    return "\u0300" <= character <= "\u036f"


def words(text: str) -> list[str]:
    """Folded words in order, an unbroken run of CJK characters being one."""
    found = []
    for word in _WORD.findall(fold(text)):
        position = 0
        for run in CJK.finditer(word):
            if run.start() > position:
                found.append(word[position : run.start()])
            found.append(run.group())
            position = run.end()
        if position < len(word):
            found.append(word[position:])
    return found


def units(text: str) -> list[str]:
    """Folded words in order, each CJK character being one: what `ground` counts in."""
    found: list[str] = []
    for word in words(text):
        if CJK.fullmatch(word):
            found.extend(word)
        else:
            found.append(word)
    return found


def same(a: str, b: str) -> bool:
    """Whether two folded words are one: equal, abbreviated, or differently inflected.

    "univ" is "university", "universitat" is "university"; "graz" is not "grazer".
    """
    if a == b:
        return True
    shorter, longer = sorted((len(a), len(b)))
    shared = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), shorter)
    return (shared == shorter >= 3 and longer >= shorter + 3) or shared >= max(5, 0.7 * longer)


def ground(
    text: Sequence[str], name: Sequence[str], claimed: frozenset[int] = frozenset()
) -> frozenset[int]:
    """Positions in `text` that `name` stands on; both as `units`.

    The window of the text is taken that holds most of the name's words on positions not
    `claimed`; each word of the name stands on one position at most, and of equal windows the
    shorter, then the earlier one is taken. Empty when nothing is left for the name.
    """
    free = [
        (position, {i for i, word in enumerate(name) if same(unit, word)})
        for position, unit in enumerate(text)
        if position not in claimed
    ]
    free = [(position, matched) for position, matched in free if matched]
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
