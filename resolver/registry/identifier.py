"""Identifiers of an organisation that an affiliation may carry: ROR, GRID, ISNI, Wikidata, the
Crossref funder registry, and domains of e-mail addresses and web pages.

For affiliations and organisations they are written the same way, as ``scheme:value``:
"ror:052gg0110", "isni:0000000419368948", "domain:ox.ac.uk".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from resolver.registry.organisation import Organisation
from resolver.registry.ror_id import ror_ids_in

_GRID = re.compile(r"\bgrid\.\d{1,6}\.[0-9a-f]{1,2}\b", re.IGNORECASE)
_ISNI = re.compile(
    r"\bisni\W{0,12}(\d{4})[ -]?(\d{4})[ -]?(\d{4})[ -]?(\d{3}[\dX])\b", re.IGNORECASE
)
_WIKIDATA = re.compile(r"\bwikidata\W{0,8}(?:org/(?:wiki|entity)/)?(Q\d{1,12})\b", re.IGNORECASE)
_FUNDER = re.compile(r"\b10\.13039/(\d{6,15})\b")
_HOST = re.compile(
    r"(?:@|\bhttps?://|\bwww\.)((?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,8}[a-z]{2,24})\b",
    re.IGNORECASE,
)
"""A host name must follow "@", "http://" or "www.": "St.Petersburg" is no host name."""

_HOME_PATH = re.compile(r"/?(?:index\.\w{2,5}|home|[a-z]{2}(?:[-_][a-zA-Z]{2})?)?/?", re.IGNORECASE)
"""Paths that a home page may have: a longer path is a page on the host of somebody else."""


def identifiers_in(text: str) -> set[str]:
    """All identifiers in an affiliation.

    A domain comes with the domains above it: "x@geo.uni-bonn.de" gives "domain:geo.uni-bonn.de" and
    "domain:uni-bonn.de".
    """
    if not text.isascii() or "." in text or "isni" in text.lower() or "wikidata" in text.lower():
        return {*_numbers(text), *_domains(text)}
    return set()


def _numbers(text: str) -> Iterator[str]:
    for ror_id in ror_ids_in(text):
        yield f"ror:{ror_id}"
    for grid in _GRID.findall(text):
        yield f"grid:{grid.lower()}"
    for groups in _ISNI.findall(text):
        yield f"isni:{''.join(groups).upper()}"
    for item in _WIKIDATA.findall(text):
        yield f"wikidata:{item.upper()}"
    for funder in _FUNDER.findall(text):
        yield f"fundref:{funder}"


def _domains(text: str) -> Iterator[str]:
    for host in _HOST.findall(text):
        labels = host.lower().removeprefix("www.").split(".")
        for start in range(len(labels) - 1):
            yield f"domain:{'.'.join(labels[start:])}"


def identifiers_of(organisation: Organisation) -> tuple[str, ...]:
    """All identifiers of an organisation, sorted.

    A web page counts by its host when it is the host's home page.
    """
    identifiers = {f"ror:{organisation.ror_id}"}
    for identifier in organisation.identifiers:
        for value in identifier.values:
            compact = value.replace(" ", "")
            if identifier.scheme == "grid":
                compact = compact.lower()
            identifiers.add(f"{identifier.scheme}:{compact}")
    identifiers.update(f"domain:{domain.lower()}" for domain in organisation.domains)
    for website in organisation.websites:
        try:
            parts = urlsplit(website)
            host = parts.hostname
        except ValueError:
            # The registry may hold malformed addresses; they identify nobody.
            continue
        if host and "." in host and _HOME_PATH.fullmatch(parts.path) and not parts.query:
            identifiers.add(f"domain:{host.removeprefix('www.')}")
    return tuple(sorted(identifiers))
