"""The policy as keyword arguments."""

from __future__ import annotations

from typing import Literal, TypedDict


class PolicyChoices(TypedDict, total=False):
    """What to link, as keyword arguments of `Resolver` and of its methods.

    Each is the setting of that name (docs/settings.md, "What to link"). One that is left out, or
    None, is as the settings say; one of a method holds for that call alone.

    - `accept_probability`: least probability of a link, 0 to 1.
    - `target_precision`: instead of it, the share of links that is to be right, 0.5 to 0.999.
    - `max_links`: most links of an affiliation, 1 to 100.
    - `level`: which of an organisation and its parents to link.
    - `succession`: what becomes of a link to an organisation that has ended.
    - `types`: ROR types that may be linked, as ``["education"]``; empty: all.
    - `countries`: ISO 3166-1 alpha-2 codes of the countries to link in; empty: all.
    - `ambiguity_margin`: difference of probability below which two rivals are equal, 0 to 1.
    """

    accept_probability: float | None
    target_precision: float | None
    max_links: int | None
    level: Literal["named", "most-specific", "top-parent", "both"] | None
    succession: Literal["keep", "roll-forward"] | None
    types: list[str] | tuple[str, ...] | set[str] | frozenset[str] | None
    countries: list[str] | tuple[str, ...] | set[str] | frozenset[str] | None
    ambiguity_margin: float | None
