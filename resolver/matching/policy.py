"""The policy of a caller: how sure links must be, how many, at which level, of which kind."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from resolver.registry.document import Document
from resolver.registry.organisation import TYPES
from resolver.validation import UNKNOWN_KEY, first_problem

MAX_LINKS = 100
"""Most links for an affiliation that a caller may ask for."""

TARGET_PRECISIONS = (0.5, 0.999)
"""The least and the greatest precision that a caller may ask for."""

# fmt: off
_CODES = """
AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT
BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH
ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT
HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS
LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI
NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG
SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG
UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW
"""
COUNTRIES = frozenset(_CODES.split())
"""ISO 3166-1 alpha-2, with XK as GeoNames, and after it ROR, writes Kosovo."""
# fmt: on


class Level(StrEnum):
    """Which of an organisation and its parents to link."""

    NAMED = "named"
    """All that the affiliation names, parents and children alike."""

    MOST_SPECIFIC = "most-specific"
    """A parent is left out if a child of it is named too."""

    TOP_PARENT = "top-parent"
    """The topmost parent is linked in the place of the organisation that is named."""

    BOTH = "both"
    """The organisation that is named, and its topmost parent too."""


class Succession(StrEnum):
    """What happens to a link to an organisation that has ended."""

    KEEP = "keep"
    ROLL_FORWARD = "roll-forward"
    """The link goes to its successor, if the registry has one."""


Operating = Sequence[tuple[float, float, float]]
"""The measurement at each threshold: (accept_probability, precision, recall)."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The choices of a caller.

    `accept_probability` is the least probability of a link, `max_links` the most links for an
    affiliation. Rivals whose probabilities differ by less than `ambiguity_margin` count as equal.
    `types` (ROR's, as "education") and `countries` (ISO 3166-1 alpha-2) restrict what may be
    linked; empty means no restriction.

    Raises:
        ValueError: a value makes no sense; names the field.
    """

    accept_probability: float = 0.5
    max_links: int = 10
    ambiguity_margin: float = 0.01
    level: Level = Level.NAMED
    succession: Succession = Succession.KEEP
    types: frozenset[str] = frozenset()
    countries: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        _within("accept_probability", self.accept_probability, 0, 1)
        _within("max_links", self.max_links, 1, MAX_LINKS)
        _within("ambiguity_margin", self.ambiguity_margin, 0, 1)
        _known("types", self.types, TYPES)
        _known("countries", self.countries, COUNTRIES)

    def admits(self, document: Document) -> bool:
        """Whether the organisation is of a type and in a country that may be linked."""
        of_type = not self.types or not self.types.isdisjoint(document.types)
        return of_type and (not self.countries or document.country_code in self.countries)

    def as_object(self) -> dict[str, Any]:
        """All choices as JSON values; lists are sorted."""
        return {
            "accept_probability": float(self.accept_probability),
            "max_links": self.max_links,
            "ambiguity_margin": float(self.ambiguity_margin),
            "level": self.level.value,
            "succession": self.succession.value,
            "types": sorted(self.types),
            "countries": sorted(self.countries),
        }

    @classmethod
    def from_object(
        cls,
        raw: object,
        *,
        base: Self | None = None,
        threshold_for: Callable[[float], float] | None = None,
    ) -> Self:
        """The policy in a JSON object as `as_object` writes it; `base` has what it leaves out.

        In the place of ``accept_probability`` it may have ``target_precision``, for which
        `threshold_for` gives the threshold.

        Raises:
            ValueError: a key that is not known, or a value that makes no sense; names it.
        """
        base = base or cls()
        try:
            values = _Choices.model_validate(raw).model_dump(exclude_unset=True)
        except ValidationError as error:
            raise ValueError(_reason(error)) from None
        target = values.pop("target_precision", None)
        if target is not None:
            if "accept_probability" in values:
                raise ValueError("target_precision: given together with accept_probability")
            _within("target_precision", target, *TARGET_PRECISIONS)
            if threshold_for is None:
                raise ValueError("target_precision: no precision was measured for these models")
            values["accept_probability"] = threshold_for(target)
        return replace(base, **values)

    @property
    def canonical(self) -> str:
        """`as_object` as JSON with sorted keys: equal for equal policies, in any process."""
        return json.dumps(self.as_object(), sort_keys=True, separators=(",", ":"))

    @property
    def fingerprint(self) -> bytes:
        """16 bytes of BLAKE2b over `canonical`."""
        return hashlib.blake2b(self.canonical.encode(), digest_size=16).digest()


_Type = Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True)]
_Country = Annotated[str, StringConstraints(strip_whitespace=True, to_upper=True)]


class _Choices(BaseModel):
    """A policy as JSON has it: every choice may be left out."""

    model_config = ConfigDict(extra="forbid", strict=True)

    accept_probability: float = 0
    max_links: int = 0
    ambiguity_margin: float = 0
    level: Level = Field(default=Level.NAMED, strict=False)
    succession: Succession = Field(default=Succession.KEEP, strict=False)
    types: frozenset[_Type] = Field(default=frozenset(), strict=False)
    countries: frozenset[_Country] = Field(default=frozenset(), strict=False)
    target_precision: float = 0


def _reason(error: ValidationError) -> str:
    name, reason = first_problem(error)
    if reason == UNKNOWN_KEY:
        reason = f"no such choice; there are {', '.join(_Choices.model_fields)}"
    return f"{name}: {reason}" if name else reason


def threshold(points: Operating, target: float) -> float:
    """The lowest threshold from which on the measured precision never falls below `target`.

    Raises:
        ValueError: there is no such threshold; names the best precision within reach.
    """
    _within("target_precision", target, *TARGET_PRECISIONS)
    reached = None
    for accept, precision, _ in sorted(points, reverse=True):
        if precision < target:
            break
        reached = accept
    if reached is None:
        if not points:
            raise ValueError("target_precision: no precision was measured for these models")
        # Nothing was measured above the highest threshold, so its precision is the best within
        # reach. A higher precision at a lower threshold does not hold from there on.
        accept, precision, _ = max(points)
        raise ValueError(
            f"target_precision: {target:g} is out of reach of these models; "
            f"the best is {precision:.3f}, at accept_probability {accept:g}"
        )
    return reached


def _within(name: str, value: float, least: float, most: float) -> None:
    # NaN is in no interval.
    if not least <= value <= most:
        raise ValueError(f"{name}: {value} is not between {least:g} and {most:g}")


def _known(name: str, values: frozenset[str], vocabulary: frozenset[str]) -> None:
    if unknown := sorted(values - vocabulary):
        listed = "ISO 3166-1 alpha-2" if name == "countries" else ", ".join(sorted(vocabulary))
        raise ValueError(f"{name}: {', '.join(map(repr, unknown))} not in {listed}")
