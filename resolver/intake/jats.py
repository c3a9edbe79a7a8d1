"""Articles in JATS XML, the form in which publishers and PubMed Central deliver them → works.

JATS is ANSI/NISO Z39.96; its predecessor, NLM's tag set, is read too. The affiliations of an
article are the `<aff>` of its `<article-meta>`, in their order; those of the journal and of
sub-articles (translations, reviews) are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.entities import html5
from typing import Any, Protocol

from resolver.errors import SettingsError
from resolver.intake.work import StatedAffiliation, Work, doi

_LEFT_OUT = frozenset({"email", "fax", "fn", "institution-id", "phone", "uri", "xref"})
"""Elements in an affiliation whose text does not belong to it."""

_PARTS = frozenset(
    {
        "addr-line",
        "city",
        "country",
        "institution",
        "institution-wrap",
        "postal-code",
        "state",
    }
)
"""Elements in an affiliation that hold a part of it. They often follow each other with nothing but
spaces between them."""

_NOTE = re.compile(r"[\W\d_]*|[\W_]*[A-Za-z][\W_]*")
"""What a `<sup>` holds that refers to an affiliation: numbers, signs, a letter. "1<sup>st</sup>" is
none."""

_OPENS, _CLOSES, _LABEL = "\x01", "\x02", "\x03"
"""Stand in a text where a part begins, where one ends, and where a label was. XML cannot hold these
characters."""

_GAP = re.compile(r" *[\x01-\x03][ \x01-\x03]*")
_NEXT_PART = re.compile(r"\x02 *\x01")


class Bytes(Protocol):
    """A stream of bytes."""

    def read(self, size: int = -1, /) -> bytes: ...


class Broken(ValueError):
    """The XML cannot be read further."""


def articles(name: str, stream: Bytes) -> Iterator[Any]:
    """The `<article>` elements of a document, one after the other: each holds until the next is
    asked for. Nothing is fetched, and no entity is expanded.

    Raises:
        SettingsError: lxml is not installed.
        Broken: the document cannot be read further.
    """
    try:
        from lxml import etree
    except ImportError as error:
        raise SettingsError(
            f"{name}: reading JATS needs lxml", remedy="pip install 'affiliation-resolver[jats]'"
        ) from error
    elements = etree.iterparse(
        stream,
        events=("end",),
        tag=[f"{{*}}{tag}" for tag in ("article", "body", "back", "sub-article", "response")],
        load_dtd=False,
        no_network=True,
        resolve_entities=False,
        huge_tree=False,
    )
    try:
        for _, element in elements:
            if etree.QName(element).localname == "article":
                yield element
                _forget_before(element)
            element.clear(keep_tail=False)
    except etree.XMLSyntaxError as error:
        raise Broken(str(error)) from error


def _forget_before(element: Any) -> None:
    """Remove what comes before an element in its parent: it would stay in memory."""
    parent = element.getparent()
    while parent is not None and parent[0] is not element:
        del parent[0]


def work(article: Any) -> Work:
    """The work that an `<article>` is.

    Raises:
        ValueError: it has no identifier, or an affiliation has an unknown entity.
    """
    meta = article.find("{*}front/{*}article-meta")
    if meta is None:
        raise ValueError("article: it has no article-meta")
    return Work(_id(meta), tuple(map(_affiliation, _affiliations(meta))))


def _id(meta: Any) -> str:
    """The DOI; where there is none, the id at PubMed Central (PMC…) or at PubMed (PMID…)."""
    ids = {
        str(each.get("pub-id-type")).lower(): "".join(each.itertext()).strip()
        for each in meta.findall("{*}article-id")
    }
    if "doi" in ids:
        return doi("article-id", ids["doi"])
    for kind, prefix in (("pmcid", "PMC"), ("pmc", "PMC"), ("pmid", "PMID")):
        if (digits := ids.get(kind, "").upper().removeprefix(prefix)).isdecimal():
            return prefix + digits
    raise ValueError("article-id: there is no DOI, PMCID or PMID")


def _affiliations(meta: Any) -> Iterator[Any]:
    """The `<aff>` elements; of alternatives, such as translations, the first."""
    for affiliation in meta.iter("{*}aff"):
        parent = affiliation.getparent()
        if _name(parent) == "aff-alternatives" and parent.find("{*}aff") is not affiliation:
            continue
        yield affiliation


def _affiliation(element: Any) -> StatedAffiliation:
    identifiers = element.iter("{*}institution-id")
    return StatedAffiliation(
        _text(element),
        tuple(
            "".join(identifier.itertext()).strip()
            for identifier in identifiers
            if str(identifier.get("institution-id-type")).upper() == "ROR"
        ),
    )


def _text(element: Any) -> str:
    """The text of an affiliation, without labels; between parts without punctuation a comma.

    SciELO's articles have each affiliation twice: as it was printed, and in parts. The former is
    the text then.
    """
    printed = element.find(".//{*}institution[@content-type='original']")
    element = element if printed is None else printed
    marked = " ".join("".join(_marked(element)).split())
    return _GAP.sub(_joined, marked).strip(" ,;")


def _joined(gap: re.Match[str]) -> str:
    before, after = gap.string[: gap.start()][-1:], gap.string[gap.end() :][:1]
    space = " " if " " in gap[0] else ""
    if _LABEL in gap[0]:
        sign = ";"
    elif _NEXT_PART.search(gap[0]):
        sign = ","
    else:
        return space
    if not before or before in ",;:(/-–":
        return space
    return space if after in tuple(",;:.)/-–") else f"{sign} "


def _marked(element: Any) -> Iterator[str]:
    yield element.text or ""
    for child in element:
        name = _name(child)
        if name is None:
            yield _reference(child)
        elif name == "label" or (name == "sup" and _NOTE.fullmatch("".join(child.itertext()))):
            yield _LABEL
        elif name == "break":
            yield f"{_CLOSES} {_OPENS}"
        elif name == "institution" and child.get("content-type") == "normalized":
            pass
        elif name in _PARTS:
            yield _OPENS
            yield from _marked(child)
            yield _CLOSES
        elif name not in _LEFT_OUT:
            yield from _marked(child)
        yield child.tail or ""


def _name(node: Any) -> str | None:
    """The name of an element without its namespace; None for anything else."""
    return node.tag.rpartition("}")[2] if isinstance(node.tag, str) else None


def _reference(node: Any) -> str:
    """The characters of a reference to an entity; "" for a comment or an instruction."""
    name = getattr(node, "name", None)
    if name is None:
        return ""
    if f"{name};" not in html5:
        raise ValueError(f"aff: the entity &{name}; is not known")
    return html5[f"{name};"]
