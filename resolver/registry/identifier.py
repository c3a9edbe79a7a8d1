"""Identifiers of an organisation that an affiliation may carry: ROR, GRID, ISNI, Wikidata, the
Crossref funder registry, and domains of e-mail addresses and web pages.

For affiliations and organisations they are written the same way, as ``scheme:value``:
"ror:052gg0110", "isni:0000000419368948", "domain:ox.ac.uk". A number belongs to one organisation. A
domain says less: people write from the address of another employer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from resolver.registry.organisation import Organisation
from resolver.registry.ror_id import ror_ids_in

_MARK = r"(?:\W{0,4}(?:id|no|number|item|qid))?\W{0,12}"
"""What may stand between the name of a scheme and a number: "ISNI: ", "Wikidata ID ", "/isni/"."""

_GRID = re.compile(rf"\b(?:grid{_MARK})?\b(grid\.\d{{1,6}}\.[0-9a-f]{{1,2}})\b", re.IGNORECASE)
_ISNI = re.compile(
    rf"\b(?:isni\.org/)?(isni{_MARK})?\b(\d{{4}})[ -]?(\d{{4}})[ -]?(\d{{4}})[ -]?(\d{{3}}[\dX])\b",
    re.IGNORECASE | re.ASCII,
)
_WIKIDATA = re.compile(
    rf"\bwikidata(?:\.org/(?:wiki|entity)/)?{_MARK}\b(Q\d{{1,12}})\b", re.IGNORECASE | re.ASCII
)
_FUNDER = re.compile(
    rf"\b(?:doi\.org/)?(?:10\.13039/|fundref{_MARK}|funder{_MARK}(?:10\.13039/)?)(\d{{9,15}})\b",
    re.IGNORECASE | re.ASCII,
)
_ADDRESS = re.compile(
    r"(?:[\w.+-]{1,64}@|\bhttps?://(?:www\.)?|\bwww\.)"
    r"((?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,8}[a-z]{2,24})\b(?:[:/?#][^\s,;<>()]*)?",
    re.IGNORECASE,
)
"""An e-mail or web address. A host name must follow "@", "http://" or "www.": "St.Petersburg" is
no host name."""

_HINTS = ("@", "://", "www.", "ror", "grid.", "isni", "wikidata", "fund", "10.13039/", "0000")
_NINE = re.compile(r"\b0[0-9a-z]{6}\d\d\b")
"""A text, in lower case, without any of these has no identifier in it."""

_HOME_PATH = re.compile(r"/?(?:index\.\w{2,5}|home|[a-z]{2}(?:[-_][a-zA-Z]{2})?)?/?", re.IGNORECASE)
"""Paths that a home page may have: a longer path is a page on the host of somebody else."""

_NOBODYS = re.compile(
    r"(?:ac|asso|co|com|edu|gob|gouv|gov|govt|go|gub|lg|mil|ne|net|nhs|nic|or|org|re|res|sch)"
    r"\.[a-z]{2}"
)
"""Domains under which a country registers organisations: whoever else's address ends in "edu.cn",
some record of the registry has it as its own."""

# fmt: off
_EVERYBODYS = """
126.com 139.com 163.com abv.bg academia.edu alice.it aliyun.com aol.com att.net bellsouth.net
biglobe.ne.jp bigpond.com bk.ru blogspot.com bluewin.ch bol.com.br btinternet.com centrum.cz
comcast.net cox.net daum.net docomo.ne.jp doi.org earthlink.net email.cz facebook.com foxmail.com
free.fr freemail.hu freenet.de github.com github.io gmail.com gmx.at gmx.ch gmx.com gmx.de gmx.net
google.com googlemail.com grid.ac hanmail.net hetnet.nl hinet.net home.nl hotmail.co.uk hotmail.com
hotmail.de hotmail.es hotmail.fr hotmail.it icloud.com ig.com.br inbox.lv inbox.ru interia.pl
isni.org kpn.nl laposte.net libero.it linkedin.com list.ru live.cn live.com live.fr mac.com mail.bg
mail.com mail.ru me.com msn.com nate.com naver.com netvigator.com nifty.com o2.pl ocn.ne.jp onet.pl
online.de optusnet.com.au orange.fr orcid.org otenet.gr outlook.com outlook.fr outlook.jp planet.nl
proton.me protonmail.com publons.com qq.com rambler.ru rediff.com rediffmail.com researcherid.com
researchgate.net rogers.com ror.org sbcglobal.net scopus.com seznam.cz sfr.fr shaw.ca sina.cn
sina.com skynet.be so-net.ne.jp sohu.com sympatico.ca t-online.de telenet.be telia.com terra.com.br
tin.it tiscali.it tom.com twitter.com ukr.net uol.com.br usa.net verizon.net vip.163.com vip.qq.com
vip.sina.com virgilio.it vsnl.com walla.co.il walla.com wanadoo.fr web.de weebly.com wikidata.org
wikipedia.org wixsite.com wordpress.com wp.pl x.com xs4all.nl ya.ru yahoo.ca yahoo.cn yahoo.co.id
yahoo.co.in yahoo.co.jp yahoo.co.uk yahoo.com yahoo.com.ar yahoo.com.au yahoo.com.br yahoo.com.cn
yahoo.com.hk yahoo.com.mx yahoo.com.sg yahoo.com.tr yahoo.com.tw yahoo.de yahoo.es yahoo.fr yahoo.gr
yahoo.in yahoo.it yandex.com yandex.ru yeah.net ymail.com youtube.com ziggo.nl zoho.com
"""
# fmt: on
EVERYBODYS = frozenset(_EVERYBODYS.split())
"""Hosts on which anybody may have an address or a page: free e-mail, pages of identifiers, large
networks. Some belong to organisations of the registry (163.com, orcid.org)."""


@dataclass(frozen=True, slots=True)
class WrittenIdentifier:
    """An identifier where a text has it, `text[start:end]`, with the name of its scheme.

    `value` is None for an address on the web or of e-mail that is no organisation's.
    """

    value: str | None
    start: int
    end: int


def identifiers_in(text: str) -> set[str]:
    """All identifiers in an affiliation.

    A domain comes with the domains above it: "x@geo.uni-bonn.de" gives "domain:geo.uni-bonn.de" and
    "domain:uni-bonn.de". Hosts of free e-mail (`EVERYBODYS`) and what a country's organisations
    have in common ("ac.uk") are left out.
    """
    return {written.value for written in written_identifiers(text) if written.value}


def numbers_in(text: str) -> set[str]:
    """Those of the `identifiers_in` an affiliation that are numbers in a registry."""
    return {identifier for identifier in identifiers_in(text) if not _is_domain(identifier)}


def domains_in(text: str) -> set[str]:
    """Those of the `identifiers_in` an affiliation that are domains."""
    return {identifier for identifier in identifiers_in(text) if _is_domain(identifier)}


def _is_domain(identifier: str) -> bool:
    return identifier.startswith("domain:")


@lru_cache(maxsize=1 << 12)
def written_identifiers(text: str) -> tuple[WrittenIdentifier, ...]:
    """The identifiers and addresses in an affiliation, in no order. Several may share characters,
    as a domain and those above it do.

    What was found last is kept, since every stage asks.
    """
    lower = text.lower()
    if not any(hint in lower for hint in _HINTS) and not _NINE.search(lower):
        return ()
    return (*_numbers(text), *_addresses(text))


def _numbers(text: str) -> Iterator[WrittenIdentifier]:
    for ror_id, start, end in ror_ids_in(text):
        yield WrittenIdentifier(f"ror:{ror_id}", start, end)
    for match in _GRID.finditer(text):
        yield WrittenIdentifier(f"grid:{match[1].lower()}", *match.span())
    for match in _ISNI.finditer(text):
        digits = "".join(match.groups()[1:]).upper()
        if _is_isni(digits) and (match[1] or (digits.startswith("0000") and not _is_orcid(digits))):
            yield WrittenIdentifier(f"isni:{digits}", *match.span())
    for match in _WIKIDATA.finditer(text):
        yield WrittenIdentifier(f"wikidata:{match[1].upper()}", *match.span())
    for match in _FUNDER.finditer(text):
        yield WrittenIdentifier(f"fundref:{match[1]}", *match.span())


def _addresses(text: str) -> Iterator[WrittenIdentifier]:
    for match in _ADDRESS.finditer(text):
        domains: list[str | None] = [*_domains(match[1])]
        for domain in domains or [None]:
            yield WrittenIdentifier(domain, *match.span())


def _domains(host: str) -> list[str]:
    """The domains of a host that may be an organisation's, the longest first."""
    labels = host.lower().removeprefix("www.").split(".")
    domains = [".".join(labels[start:]) for start in range(len(labels) - 1)]
    if not EVERYBODYS.isdisjoint(domains):
        return []
    return [f"domain:{domain}" for domain in domains if not _NOBODYS.fullmatch(domain)]


def _is_isni(digits: str) -> bool:
    """Whether the check digit is right (ISO/IEC 7064 MOD 11-2, ISO 27729)."""
    total = 0
    for digit in digits[:-1]:
        total = (total + int(digit)) * 2
    check = (12 - total % 11) % 11
    return digits[-1] == ("X" if check == 10 else str(check))


def _is_orcid(digits: str) -> bool:
    """Whether an ISNI is of a block that is reserved for persons' ORCIDs (ORCID support, "Structure
    of the ORCID Identifier")."""
    number = digits[:-1]
    return (
        "000000015000000" <= number <= "000000035000000"
        or "000900000000000" <= number <= "000900100000000"
    )


def identifiers_of(organisation: Organisation) -> tuple[str, ...]:
    """All identifiers of an organisation, sorted.

    A web page counts by its host when it is the host's home page.
    """
    identifiers = {f"ror:{organisation.ror_id}"}
    for identifier in organisation.identifiers:
        for value in identifier.values:
            compact = value.replace(" ", "")
            if identifier.scheme == "grid":
                # A few are addresses: "https://www.grid.ac/institutes/grid.6546.1".
                compact = compact.lower().rpartition("/")[2]
            identifiers.add(f"{identifier.scheme}:{compact}")
    identifiers.update(_own_domains(organisation.domains))
    identifiers.update(_own_domains(_home_hosts(organisation.websites)))
    return tuple(sorted(identifiers))


def _own_domains(hosts: Iterable[str]) -> Iterator[str]:
    """Without those of which nothing can be found in a text."""
    for host in hosts:
        yield from _domains(host)[:1]


def _home_hosts(websites: Iterable[str]) -> Iterator[str]:
    for website in websites:
        try:
            parts = urlsplit(website)
            host = parts.hostname
        except ValueError:
            # The registry may hold malformed addresses; they identify nobody.
            continue
        if host and "." in host and _HOME_PATH.fullmatch(parts.path) and not parts.query:
            yield host
