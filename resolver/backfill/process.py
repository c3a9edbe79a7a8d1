"""The process of `resolver.backfill.isolated`: opens a pin, then answers batch after batch.

python -m resolver.backfill.process DESCRIPTOR
"""

from __future__ import annotations

import faulthandler
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from resolver.backfill import pin as pins
from resolver.backfill.isolated import Failure
from resolver.database.resolver_versions import ResolverVersion
from resolver.errors import ResolverError
from resolver.index.embedded import EmbeddedStore
from resolver.matching.policy import Policy
from resolver.service.installation import Installation
from resolver.service.service import Service
from resolver.settings import Settings, load_settings
from resolver.text.affiliation import Affiliation, text_hash

if TYPE_CHECKING:
    from resolver.backfill.pin import HeldOverrides, Pin
    from resolver.matching.matcher import Matcher
    from resolver.matching.outcome import Outcome


def main(pipe: Connection) -> None:
    """Serve until the other end closes."""
    # What a fault of a library did is then in the log.
    faulthandler.enable()
    # Ctrl-C is for who gave the work; without it there is none.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        pin, copy = pipe.recv()
        try:
            with opened(pin, copy, load_settings()) as matcher:
                held = pins.overrides(copy)
                pipe.send(None)
                while True:
                    pipe.send(_answered(matcher, held, pipe.recv()))
        except ResolverError as error:
            # As two sentences: not every error can be sent as it is.
            pipe.send(Failure(error.problem, error.remedy))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _answered(
    matcher: Matcher, held: HeldOverrides, texts: Sequence[str]
) -> list[Outcome] | Failure:
    try:
        return answered(matcher, held, texts)
    except ResolverError as error:
        return Failure(error.problem, error.remedy)


def answered(matcher: Matcher, held: HeldOverrides, texts: Sequence[str]) -> list[Outcome]:
    """The outcomes of normalised texts, by the matcher's policy and the overrides that hold."""
    applying = {
        text: [replace(override, affiliation=text) for override in of_text]
        for text in texts
        if held and (of_text := held.get(text_hash(text)))
    }
    return matcher.resolve([*map(Affiliation.stored, texts)], overrides=applying)


@contextmanager
def opened(pin: Pin, copy: Path, settings: Settings) -> Iterator[Matcher]:
    """The matcher of a pin whose files are at `copy`, with the pin's policy. No database is asked.

    Raises:
        ModelError: this machine has other models, or this program answers otherwise.
        IndexProblem, RerankerUnavailable: as `resolver.service.service.open_version`.
    """
    recorded = _version(pin)
    at_copy = {name: str(copy / path) for name, path in pin.models.items()}
    version = replace(recorded, configuration={**recorded.configuration, **at_copy})
    store = EmbeddedStore(copy / "index") if pin.has_index else None
    with (
        Installation(settings, store=store) as installation,
        closing(Service(installation, version)) as service,
    ):
        yield replace(service.matcher, policy=Policy.from_object(dict(pin.policy)))


def _version(pin: Pin) -> ResolverVersion:
    version = pin.version
    return ResolverVersion(
        id=version["id"],
        release_id=0,
        release=version["release"],
        index_version=version["index_version"],
        configuration=version["configuration"],
        settings=version["settings"],
        encoder=tuple(version["encoder"]),
        reranker=tuple(version["reranker"]),
        carries_id=None,
        generation=None,
        selected_at=None,
        selected_to=None,
        created_at=datetime.fromisoformat(pin.made_at),
        is_current=False,
    )


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])))
