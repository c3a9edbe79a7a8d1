"""What an item is found by, worked out of its text."""

from __future__ import annotations

import hashlib

from resolver.curation.unmatched import named_country, unmatched_name
from resolver.database.review_upkeep import TextKeys
from resolver.text.affiliation import MAX_CHARACTERS, Affiliation


def text_keys(affiliation: Affiliation | str, *, linked: bool) -> TextKeys:
    """What an item is found by. Only what is not `linked` has a cluster: that of the others is
    empty, since it takes the longest."""
    if isinstance(affiliation, str):
        affiliation = Affiliation.stored(affiliation)
    if not 0 < len(affiliation.text) <= MAX_CHARACTERS:
        return TextKeys((), None, b"")
    words = tuple(dict.fromkeys(affiliation.units))
    if linked:
        return TextKeys(words, named_country(affiliation), b"")
    name = unmatched_name(affiliation.text)
    key = f"{name.key}\n{name.country or ''}".encode(errors="replace")
    return TextKeys(words, name.country, hashlib.blake2b(key, digest_size=16).digest())
