"""Damage that exports, typesetting and wrong encodings do to affiliations, mended.

What is mended is in the text that is matched, stored and hashed, since the models, the words and
the offsets of links must all see the same one. So only what is damage for certain is mended; a
clean text, and every name in the registry that is written as intended, stays as it is:

- mojibake, UTF-8 read as another encoding ("UniversitÃ©"), by ftfy
- marks of line ends, tabs and empty cells, and escaped characters ("#TAB#", "<U+00E9>")
- accents, letters and markup of LaTeX ("M\\"{u}nchen", "{\\ss}", "$^{1}$"); by a table and not by a
  parser of LaTeX, to which the "%", "&", "#" and "~" of other texts would mean something
- accents that stand beside their letter ("E´cole", "Universit´e")
- superscripts that number an affiliation ("²Dept."); those within a name stay ("IN²P³")
- words written with a space after each letter ("U n i v e r s i t y")
- lost spaces, where one side is a word that no name is joined to ("RoadCambridge", "ofAmsterdam").
  A capital within a word is not enough ("McGill", "CentraleSupélec", "PetroChina")

Lost letters ("Math??matiques") cannot be restored and stay. Most texts have no damage; a cheap test
for each kind lets them pass.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache, partial
from itertools import pairwise

from resolver.text.country import COUNTRY_FORMS, ENGLISH_NAMES

_ACUTE, _GRAVE, _DIAERESIS, _CIRCUMFLEX, _TILDE = "\u0301", "\u0300", "\u0308", "\u0302", "\u0303"
_CEDILLA, _CARON, _RING, _BREVE, _DOT, _MACRON = (
    "\u0327", "\u030c", "\u030a", "\u0306", "\u0307", "\u0304",
)  # fmt: skip
_DOUBLE_ACUTE, _OGONEK, _DOT_BELOW, _LINE_BELOW = "\u030b", "\u0328", "\u0323", "\u0331"


def restored(text: str) -> str:
    """A text with its characters restored; to be called before NFKC, which makes mojibake, spacing
    accents and superscripts unrecognisable."""
    if "#" in text:
        text = _EXPORT.sub(" ", text)
    if "<" in text:
        text = _CODE_POINT.sub(_of_code, text)
    if "\\" in text or "{" in text or "$" in text:
        text = _without_latex(text)
    if "`" in text or not (text.isascii() or _SUSPECT.search(text) is None):
        text = _mended(text)
    return text


def respaced(text: str) -> str:
    """A text with spaces between its words, and none within; to be called while wider spaces still
    stand between the words whose letters are spaced."""
    shape = text.encode(errors="replace").translate(_SHAPE)
    if b" a a a a" in shape or b" A A A A" in shape:
        text = _SPACED_WORD.sub(lambda word: word[0].replace(" ", ""), text)
    if b"aA" in shape:
        text = _JOINED_WORD.sub(_unjoined, text)
    if any(joined in text for joined in _JOINED_OF):
        text = _OF.sub(r"\1 of", text)
    return text


# --- Marks of exports -------------------------------------------------------------------------

_EXPORT = re.compile(r"#(?:TAB|R|N)#|#N/A\b")
"""Tab, carriage return and newline in dumps of bibliographic databases; Excel's empty cell."""

_CODE_POINT = re.compile(r"<U\+([0-9A-F]{4,5})>|\\u([0-9a-fA-F]{4})(?![0-9a-fA-F])")
"""A character as R and JSON write it."""


def _of_code(match: re.Match[str]) -> str:
    return chr(int(match[1] or match[2], 16))


# --- LaTeX ------------------------------------------------------------------------------------

_LATEX_ACCENTS = {
    "'": _ACUTE, "´": _ACUTE, "’": _ACUTE, "`": _GRAVE, '"': _DIAERESIS, "^": _CIRCUMFLEX,
    "~": _TILDE, "=": _MACRON, ".": _DOT, "u": _BREVE, "v": _CARON, "H": _DOUBLE_ACUTE,
    "c": _CEDILLA, "k": _OGONEK, "r": _RING, "d": _DOT_BELOW, "b": _LINE_BELOW,
}  # fmt: skip
_LATEX_LETTERS = {
    "ss": "ß", "ae": "æ", "AE": "Æ", "oe": "œ", "OE": "Œ", "aa": "å", "AA": "Å", "o": "ø", "O": "Ø",
    "l": "ł", "L": "Ł", "i": "ı", "j": "ȷ", "dh": "ð", "DH": "Ð", "th": "þ", "TH": "Þ", "dj": "đ",
    "DJ": "Đ", "ng": "ŋ", "NG": "Ŋ", "textquoteright": "’", "textendash": "–",
}  # fmt: skip

_LETTER = r"\\?[ij](?![A-Za-z])|[A-Za-z]"
_LATEX_ACCENT = re.compile(
    r"\\{1,2}(?P<mark>['´’`\"^~=.])\s?"
    rf"(?:\{{\s?(?P<braced>{_LETTER})\s?\}}"
    r"|(?P<bare>\\[ij](?![A-Za-z])|[A-Za-z])(?:(?<=\\[ij]) (?=[a-z]))?)"
)
_LATEX_ACCENT_BY_LETTER = re.compile(
    rf"(?:\\{{1,2}}(?P<letter>[uvHckrdb])|\\{{0,2}}(?P<mark>['`\"^~]))\{{\s?(?P<braced>{_LETTER})\s?\}}"
    r"|(?<!\d)\\{1,2}(?P<command>[uvHckrdb]) (?P<bare>[A-Za-z])"
)
"""Also `\"{u}` that lost its backslash: the braces tell."""

_LATEX_LETTER = re.compile(
    rf"\\{{1,2}}({'|'.join(_LATEX_LETTERS)})(?![A-Za-z])(?:\{{\}}|\\ ?| (?=[a-z]))?"
)
_LATEX_MARK = re.compile(r"\$\s?\^\s?\{?([^${}\\]{1,9}|\\[a-z]{3,9}\s?)\}?\s?\$")
"""A footnote mark: what stands raised in a formula of its own."""

_LATEX_GROUP = re.compile(
    r"\\{1,2}(?:text(?:bf|it|rm|sc|sf|superscript)?|emph|math(?:rm|bf|it)|mbox)\{([^{}]*)\}"
)
_LATEX_SIGN = re.compile(r"\\([&%_#$])")
_LINE_BREAK = re.compile(r"\\\\(?:\[[^\[\]]{1,9}\])?(?=\s|$)|\\[nrt](?=[\sA-Z0-9]|$)")
_BRACED_LETTERS = re.compile(r"(?<=\w)\{([^\W_]+)\}|\{([^\W_]+)\}(?=\w)")
"""Braces that hold some letters of a word together."""


def _without_latex(text: str) -> str:
    text = _CODE_POINT.sub(_of_code, text)
    for accents in (_LATEX_ACCENT, _LATEX_ACCENT_BY_LETTER):
        text = accents.sub(_latex_accented, text)
    text = _LATEX_LETTER.sub(lambda letter: _LATEX_LETTERS[letter[1]], text)
    text = _LATEX_MARK.sub(_footnote_mark, text)
    text = _LATEX_GROUP.sub(r"\1", text)
    text = _LATEX_SIGN.sub(r"\1", text)
    text = _LINE_BREAK.sub(" ", text)
    return _BRACED_LETTERS.sub(r"\1\2", text)


def _latex_accented(match: re.Match[str]) -> str:
    parts = match.groupdict()
    mark = parts["mark"] or parts.get("letter") or parts.get("command") or ""
    letter = (parts["braced"] or parts["bare"]).removeprefix("\\")
    return _composed(letter, _LATEX_ACCENTS[mark]) or match[0]


def _footnote_mark(match: re.Match[str]) -> str:
    return " " if match[1].startswith("\\") else f" {match[1]} "


def _composed(letter: str, accent: str) -> str:
    """The one character of a letter and its accent; empty where Unicode has none."""
    made = unicodedata.normalize("NFC", {"ı": "i", "ȷ": "j"}.get(letter, letter) + accent)
    return made if len(made) == 1 else ""


# --- Mojibake, accents, superscripts -----------------------------------------------------------


@cache
def _mend_mojibake() -> Callable[[str], str]:
    """ftfy, restricted to encodings: quotes, ligatures and widths are no damage.

    It is imported when a text needs it, since the import takes longer than all else that a program
    needs to send records."""
    import ftfy

    config = ftfy.TextFixerConfig(
        unescape_html=False,
        remove_terminal_escapes=False,
        fix_latin_ligatures=False,
        fix_character_width=False,
        uncurl_quotes=False,
        fix_line_breaks=False,
        fix_surrogates=False,
        remove_control_chars=False,
        normalization=None,
        explain=False,
    )
    return partial(ftfy.fix_encoding, config=config)


_SPACING = {
    "´": _ACUTE, "`": _GRAVE, "ˋ": _GRAVE, "¨": _DIAERESIS, "ˆ": _CIRCUMFLEX, "˜": _TILDE,
    "¸": _CEDILLA, "ˇ": _CARON, "˚": _RING, "˘": _BREVE, "˙": _DOT, "¯": _MACRON,
    "˝": _DOUBLE_ACUTE, "˛": _OGONEK,
}  # fmt: skip
_USUAL = {
    _ACUTE: "aeiouyAEIOUYı", _GRAVE: "aeiuAEIU", _DIAERESIS: "aeiouyAEIOUYı",
    _CIRCUMFLEX: "aeiouAEIOUı", _TILDE: "aonAON", _CEDILLA: "csCS", _CARON: "czsrenCZSREN",
    _RING: "auAU", _BREVE: "agAG", _DOT: "zieZIE", _MACRON: "aeiouAEIOU", _DOUBLE_ACUTE: "ouOU",
    _OGONEK: "aeAE",
}  # fmt: skip
"""The letters that an accent is mostly written on: of two neighbours it belongs to one of these."""

_ALSO_ACUTE = frozenset("cnzCNZ")
"""Consonants that have one in Polish."""

_COMBINING = "".join(_USUAL)
_SPACING_OF = {accent: spacing for spacing, accent in _SPACING.items()}
_SPACE_AND_COMBINING = re.compile(f" ([{_COMBINING}])")
"""What compatibility normalisation makes of an accent that takes a place of its own."""

_SPACING_ACCENT = re.compile(
    rf"(?P<before>[^\W\d_]?)(?P<accent>[{''.join(_SPACING)}])(?P<gap> ?)(?P<after>(?:[^\W\d_])?)"
)

_APOSTROPHE = re.compile(
    r"(?<![^\W\d_])([dlDLO])[´`](?=[A-ZÀ-Þ])"  # L´Aquila
    r"|(?<![^\W\d_])([dl])[´`](?=[a-z])"  # d´informatique
    r"|(?<=[^\W\d_])[´`](?=s\b)"  # People´s
    r"|\b([A-Z][a-z]?[aiu])[´`](?=an\b)"  # Xi´an
)
"""An accent that stands for an apostrophe."""

_OPENING_QUOTE = re.compile(r"(?<![^\W\d_])`")

_RING_AS_DEGREE = re.compile(r"(?<=[^\W\d_])a°|\bA°(?=[a-z])")

_RAISED = "²³¹⁰⁴-⁹ᵃ-ᶻ"
_RAISED_MARK = re.compile(rf"(?<![^\s,;:.(])(?:[{_RAISED}]+[,⁻]?)+(?=[^\W\d_])")

_SUSPECT = re.compile(
    # Controls and signs that are mostly the second character of mojibake, its usual first ones,
    # and those of Mac Roman's and DOS's.
    "[\u0080-\u009f\u00a1-\u00a9\u00ac-\u00b9\u00bc-\u00bf\u00c2\u00c3\u20ac\u2122\u2026\u2030"
    rf"\u0402-\u040b\u0452-\u0453\u221a\u251c{''.join(_SPACING)}{_RAISED}{_COMBINING}]"
)
"""What texts without damage seldom contain."""


def _mended(text: str) -> str:
    text = _mend_mojibake()(text)
    text = _SPACE_AND_COMBINING.sub(lambda match: _SPACING_OF[match[1]], text)
    text = _APOSTROPHE.sub(r"\1\2\3'", text)
    text = _SPACING_ACCENT.sub(_accented, text)
    text = _RING_AS_DEGREE.sub(lambda match: "Å" if match[0] == "A°" else "å", text)
    return _RAISED_MARK.sub(r"\g<0> ", text)


def _accented(match: re.Match[str]) -> str:
    """The accent put on the letter that it belongs to: the one before it or the one after it, since
    producers of PDF differ. An acute that fits neither is an apostrophe, a grave stays, another is
    left out."""
    before, written, gap, after = match.group("before", "accent", "gap", "after")
    if not before and (gap or not after) and written != "`":
        return ("'" if written == "´" else "") + gap
    accent = _SPACING[written]
    usual = _USUAL[accent]
    on_before = before != "" and before in usual
    on_after = after != "" and after in usual and not (before.islower() and after.isupper())
    if written == "`" and (
        (on_before and on_after and not gap)  # Alaka`ina
        or before in {"", "g"}  # ulug`bek
        or _OPENING_QUOTE.search(match.string)
    ):
        return match[0]
    if on_before:
        return _composed(before, accent) + gap + after
    if on_after:
        return before + _composed(after, accent)
    if written == "`":
        return match[0]
    if written != "´" or before in _ALSO_ACUTE:
        return (_composed(before, accent) or before) + gap + after
    return f"{before}'{gap}{after}"


# --- Spaces -----------------------------------------------------------------------------------

_SHAPE = bytes(
    ord("A" if chr(byte).isupper() else "a" if chr(byte).isalnum() else " ")
    if byte < 128
    else ord("a")
    for byte in range(256)
)
"""Each byte of UTF-8 as a capital, another letter or digit, or neither: to look for in a text what
a pattern would take ten times as long for."""

_SPACED_WORD = re.compile(
    r"(?<![^\s(,;])(?:[A-Za-z\xc0-\xff](?: [a-z\xdf-\xff]){4,}|[A-Z](?: [A-Z]){5,})(?!\w)"
    r"|(?<=  )[A-Za-z](?: [A-Za-z]){1,3}(?=  )"
)
"""A capital begins a word, and two spaces end one. Six capitals are more than initials."""

_JOINED_OF = ("yof", "tof", "eof")
_JOINED_WORD = re.compile(r"\b\w*[a-z0-9\xdf-\xff][A-Z\xc0-\xde]\w*")
_PIECE = re.compile(r"[A-Z\xc0-\xde]*[a-z\xdf-\xff]+|[A-Z\xc0-\xde]+|\d+|[^A-Za-z\xc0-\xff\d]+")
"""A word, an acronym or a number among those that a word is joined of."""

# fmt: off
_NAMING = frozenset({
    "University", "Université", "Universität", "Universidad", "Universidade", "Universitat",
    "Università", "Univ", "Institute", "Instituto", "Department", "Departamento", "Dipartimento",
    "Département", "Dept", "Laboratory", "Laboratoire", "Faculty", "Faculté", "School", "College",
    "Hospital",
})
"""Words that begin the name of an organisation or of a unit."""

_ENDING = frozenset({
    "University", "Université", "Universität", "Universidad", "Universidade", "Institute",
    "Department", "Laboratory", "Faculty", "Technology", "Technologies", "Chemistry", "Physics",
    "Medicine", "Sciences", "Kingdom", "address",
})
"""Words that end what stands on a line. "Center", "College", "Engineering" and the like would cut
names: "CenterState", "CollegeAmerica", "EngineeringUK"."""

_STREET = frozenset({"Road", "Street", "Avenue"})
# fmt: on

_COUNTRIES = frozenset(
    form
    for forms in (ENGLISH_NAMES.values(), *COUNTRY_FORMS.values())
    for form in forms
    if re.fullmatch("[A-Z][a-z]{3,}|USA|UK", form)
)
_OF = re.compile(
    r"\b((?:Universi|Facul)ty|Institute|Department|College|Academy|Centre)of(?=\b|[A-Z])"
)
_PREPOSITION = re.compile(" (?:of|for|de|di) ")
_POSTCODE = re.compile(r" [A-Z]{0,2}\d")
_ZIP = re.compile(r"\d{5}(?!\d)")
_UK_POSTCODE = re.compile(r"(?<=\b\d[A-Z]{2})UK\b")


def _unjoined(match: re.Match[str]) -> str:
    """A word with a capital inside, cut where two words are surely joined."""
    pieces: list[str] = _PIECE.findall(match[0])
    cut = pieces[:1]
    end = match.start() + len(pieces[0])
    for number, (left, right) in enumerate(pairwise(pieces)):
        end += len(right)
        if _are_joined(left, right, match.string[end : end + 6], first=number == 0):
            cut.append(" ")
        cut.append(right)
    return _UK_POSTCODE.sub(" UK", "".join(cut))


def _are_joined(left: str, right: str, follows: str, *, first: bool) -> bool:
    """Whether a space is lost between two pieces; `first` where nothing is joined to the left one,
    `follows` is the text after the right one."""
    if right.isdigit():
        return False
    if left.isdigit():
        return (len(left) > 3 and right in _COUNTRIES) or (
            first and len(left) < 3 and right in _NAMING
        )
    if left in _ENDING or (first and left in {"of", "and", "the"}):
        return len(right) > 1
    if left in _STREET:
        return _POSTCODE.match(follows) is not None
    if len(right) == 2 and right.isupper():
        return len(left) > 3 and _ZIP.match(follows) is not None
    if right not in _NAMING:
        return False
    if left in _COUNTRIES or (first and len(left) == 1 and left not in "eiEI"):
        return True
    return len(left) > 3 and _PREPOSITION.match(follows) is not None
