"""`Resolver`: an index and its models, opened for use in a program or a notebook."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self, Unpack, overload

from resolver.api.answer import Answer, answer_of
from resolver.api.choices import PolicyChoices
from resolver.api.frames import frame_maker
from resolver.api.progress import Report, reporting
from resolver.api.texts import texts_of
from resolver.errors import IndexMissing, ResolverError, SettingsError
from resolver.settings import Settings, load_settings
from resolver.text.affiliation import Affiliation

if TYPE_CHECKING:
    import pandas
    import polars

    from resolver.matching.matcher import Matcher
    from resolver.matching.policy import Operating, Policy
    from resolver.registry.document import Document

BATCH = 256
"""Texts resolved between two reports of progress: four slices of the matcher, which overlap."""


class Resolver:
    """An index of organisations, open for resolving affiliations in this process.

    ::

        with Resolver(".demo") as resolver:
            answers = resolver.resolve(["Univ. of York, UK", None])

    The index is the active version in the folder `home`, or on the Qdrant server `qdrant_url`.
    With neither, it is the one that the settings (``RESOLVER_*``) name; `settings` takes the place
    of these. Models are those of the settings. The keyword arguments of `PolicyChoices` say what to
    link. No database is read: what curators decided (``resolver override``) is not known here.

    It may be used with ``with`` or without. Until `close`, or the end of the process, it holds the
    models and the index in memory, and the index version on the disk or the connection to the
    server; so `resolver index prune` does not remove an embedded version that is open. A version
    that becomes active meanwhile is not used: open another Resolver for it. Calls from several
    threads wait for each other; each process needs a Resolver of its own, opened after a fork.

    Raises:
        IndexMissing: there is no index; says how to make one.
        IndexMismatch: it was built by another encoder than the settings name.
        IndexUnavailable: the Qdrant server does not answer.
        ModelError: a model cannot be loaded.
        SettingsError: a setting or a choice makes no sense, or two exclude each other.
    """

    def __init__(
        self,
        home: str | Path | None = None,
        *,
        qdrant_url: str | None = None,
        qdrant_api_key: str | None = None,
        settings: Settings | None = None,
        **choices: Unpack[PolicyChoices],
    ) -> None:
        settings = _settings(home, qdrant_url, qdrant_api_key, settings)
        self._lock = RLock()
        self._documents: dict[str, Document] = {}
        with ExitStack() as opening:
            self._opened: _Opened | None = opening.enter_context(_open(settings))
            self._policy = _policy(choices, self._opened.matcher.policy, self._opened.operating)
            self._holding = opening.pop_all()

    @property
    def release(self) -> str:
        """The registry release that the index was built from: ``v2.9``."""
        return self._require_open().matcher.recall.index.manifest.release

    def resolve(
        self,
        affiliations: Iterable[str | None],
        *,
        progress: Callable[[int, int], None] | bool = False,
        **choices: Unpack[PolicyChoices],
    ) -> list[Answer]:
        """One answer an affiliation, in order.

        `affiliations` is a list, a tuple, a generator, or a Series of pandas or polars. A missing
        value (None, NaN, `pandas.NA`) is answered with the reason ``empty``. Texts that repeat are
        resolved once. With `progress` a bar is shown on standard error, or the function is called
        with (affiliations answered, affiliations in all).

        A failing part is an error, never an answer without links.

        Raises:
            AffiliationsError: one string in the place of a list, or a value that is no text; says
                at which position.
            SettingsError: a choice makes no sense.
            IndexUnavailable, RerankerUnavailable: a server does not answer.
            ResolverError: this was closed.
        """
        given = [Affiliation.of(text) for text in texts_of(affiliations)]
        with self._lock:
            opened = self._require_open()
            policy = _policy(choices, self._policy, opened.operating)
            with reporting(progress) as report:
                answers = self._answers(opened.matcher, policy, given, report)
        return [
            replace(answers[affiliation.text], affiliation=affiliation.raw) for affiliation in given
        ]

    @overload
    def frame(
        self,
        affiliations: polars.Series,
        *,
        progress: Callable[[int, int], None] | bool = False,
        **choices: Unpack[PolicyChoices],
    ) -> polars.DataFrame: ...

    @overload
    def frame(
        self,
        affiliations: pandas.Series[Any],
        *,
        progress: Callable[[int, int], None] | bool = False,
        **choices: Unpack[PolicyChoices],
    ) -> pandas.DataFrame: ...

    def frame(
        self,
        affiliations: polars.Series | pandas.Series[Any],
        *,
        progress: Callable[[int, int], None] | bool = False,
        **choices: Unpack[PolicyChoices],
    ) -> polars.DataFrame | pandas.DataFrame:
        """Like `resolve`, as a frame of the library that the Series is of: a row a link, or the
        reason for none.

        ``papers.join(resolver.frame(papers["affiliation"]))`` puts the links beside the papers in
        pandas: a row has the label of its affiliation in the Series' index. In polars the column
        `row` is what ``papers.with_row_index("row")`` counts, and in both it is the position of the
        affiliation in the Series.

        Columns: `row`, `text` (the affiliation as it was read), `rank`, `ror_id`, `ror_url`,
        `name`, `matched_name`, `probability`, `score`, `country_code`, `country`, `city`, `types`
        (with commas between them), `website`, `matched_text`, `start`, `end`, `reason`: see
        `Answer` and `LinkedOrganisation`. Where there is no link all but `row`, `text` and `reason`
        are missing; in a row that is a link the reason is.

        Raises:
            AffiliationsError: it is no Series of pandas or polars.
            otherwise as `resolve`.
        """
        in_frame = frame_maker(affiliations)
        return in_frame(self.resolve(affiliations, progress=progress, **choices))

    def close(self) -> None:
        """Let go of the index and the models; done twice it does nothing more."""
        with self._lock:
            self._opened = None
            self._documents.clear()
            self._holding.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._opened is None:
            return "<Resolver: closed>"
        manifest = self._opened.matcher.recall.index.manifest
        return f"<Resolver: release {manifest.release}, {manifest.organisations:,} organisations>"

    def _require_open(self) -> _Opened:
        if self._opened is None:
            raise ResolverError("this Resolver was closed", remedy="open another one")
        return self._opened

    def _answers(
        self,
        matcher: Matcher,
        policy: Policy,
        affiliations: Sequence[Affiliation],
        report: Report,
    ) -> dict[str, Answer]:
        """The answer of each normalised text; each is resolved once."""
        counts = Counter(affiliation.text for affiliation in affiliations)
        distinct = list({affiliation.text: affiliation for affiliation in affiliations}.values())
        answers: dict[str, Answer] = {}
        answered = 0
        report(answered, len(affiliations))
        for start in range(0, len(distinct), BATCH):
            batch = distinct[start : start + BATCH]
            outcomes = matcher.resolve(batch, policy)
            ror_ids = {link.ror_id for outcome in outcomes for link in outcome.links}
            documents = self._registered(matcher, ror_ids)
            for affiliation, outcome in zip(batch, outcomes, strict=True):
                answers[affiliation.text] = answer_of(outcome, affiliation.text, documents)
            answered += sum(counts[affiliation.text] for affiliation in batch)
            report(answered, len(affiliations))
        return answers

    def _registered(self, matcher: Matcher, ror_ids: set[str]) -> dict[str, Document]:
        """What the index says of these organisations; each is looked up once."""
        if missing := ror_ids - self._documents.keys():
            self._documents |= matcher.recall.index.organisations(missing)
        return self._documents


class _Opened(NamedTuple):
    """The matcher, and the table that gives the threshold of a target precision."""

    matcher: Matcher
    operating: Operating


@contextmanager
def _open(settings: Settings) -> Iterator[_Opened]:
    """Open what the settings name. The service is imported here, for this module to stay light."""
    from resolver.matching.judge_file import load_operating
    from resolver.service.installation import Installation

    with ExitStack() as holding:
        try:
            installation = holding.enter_context(Installation(settings))
            matcher = holding.enter_context(installation.open_matcher())
        except IndexMissing as error:
            raise IndexMissing(error.problem, remedy=_how_to_make_one(settings)) from error
        operating = load_operating(settings.judge, matcher.recall.encoder, matcher.reranker)
        yield _Opened(matcher, operating)


def _how_to_make_one(settings: Settings) -> str:
    if settings.qdrant_url:
        return (
            "name the server of an installation, or make its index: "
            f"RESOLVER_QDRANT_URL={settings.qdrant_url} resolver index build"
        )
    command = f"resolver --home {shlex.quote(str(settings.home))}"
    return (
        "name the folder of an installation, or make one there: "
        f"{command} migrate && {command} update"
    )


def _settings(
    home: str | Path | None,
    qdrant_url: str | None,
    qdrant_api_key: str | None,
    settings: Settings | None,
) -> Settings:
    """The settings of the environment with what was given in place of theirs.

    A folder that is named is meant, whatever server the environment names.
    """
    if home is not None and qdrant_url is not None:
        raise SettingsError(
            "home and qdrant_url exclude each other", remedy="an index is in one of the two"
        )
    arguments = {"home": home, "qdrant_url": qdrant_url, "qdrant_api_key": qdrant_api_key}
    given = {name: value for name, value in arguments.items() if value is not None}
    if settings is None:
        return load_settings(**({"qdrant_url": None} if "home" in given else {}), **given)
    if given:
        raise SettingsError(
            f"settings and {', '.join(given)} exclude each other",
            remedy="put all into the settings",
        )
    return settings


def _policy(choices: PolicyChoices, base: Policy, operating: Operating) -> Policy:
    """`base` with the choices that are made in place of its own."""
    from resolver.service.parts import change_policy

    made = {name: value for name, value in choices.items() if value is not None}
    return change_policy(base, made, operating) if made else base
