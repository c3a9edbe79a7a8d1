"""Every error this project raises on purpose.

::

    ResolverError                     says what is wrong and what to do about it
    ├── SettingsError                 a setting is missing or contradicts another
    │   └── PolicyError               what a message or an answer asks for makes no sense
    ├── RegistryError                 a registry file as a whole cannot be used
    │   └── RecordError               one record of it is refused
    ├── FetchError                    a release could not be downloaded whole
    ├── ModelError                    a model cannot be loaded or does not fit
    ├── RerankerUnavailable           the reranker's server does not answer
    ├── PairError                     a pair cannot be scored
    ├── IndexProblem                  the index cannot serve
    │   ├── IndexMissing              nothing was built yet
    │   ├── IndexMismatch             built from another release, encoder or document form
    │   ├── IndexBusy                 the embedded index is open in another process
    │   └── IndexUnavailable          the Qdrant server does not answer
    ├── SearchError                   what the full-text search reads is missing or damaged
    ├── QueryError                    a query of the full-text search cannot be read
    ├── DatabaseProblem
    │   ├── DatabaseUnavailable       Postgres does not answer, or takes no writes
    │   ├── DatabaseForbidden         the user lacks a grant
    │   └── DatabaseOutdated          migrations have not been run
    ├── ResolverSuperseded            another resolver version is in use by now
    ├── UpdateRunning                 another process takes in a release or switches versions
    ├── BrokerUnavailable             the message broker does not answer
    ├── QueueFull                     a queue has as many messages as it may
    ├── MessageError                  a task message as a whole cannot be used
    ├── AffiliationsError             what is given to a Resolver is no list of texts
    ├── ServerProblem                 resolver serve cannot be used as AsyncResolver uses it
    │   ├── ServerUnavailable         it does not answer, is full or stops, whatever is tried
    │   ├── RequestRefused            it refuses a request: its key, its policy, its size
    │   ├── JobFailed                 a job failed or was cancelled
    │   └── JobIncomplete             a job is finished, and some affiliations have no answer
    ├── IntakeError                   one incoming record is refused
    ├── FileBroken                    a file of affiliations ends in the middle
    ├── BackfillError                 a pin, a run or a part of a backfill cannot be used
    ├── GoldError                     a labelled file for evaluation or training cannot be read
    ├── ReviewError                   a decision that cannot be taken or undone
    └── DiskFull                      there is no room for what is to be written

A caller prints ``str(error)``: one line, the remedy included. Nothing here is
ever turned into "no match".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class ResolverError(Exception):
    """What is wrong (`problem`) and, where it is known, what helps (`remedy`)."""

    def __init__(self, problem: str, *, remedy: str | None = None) -> None:
        self.problem = problem
        self.remedy = remedy
        super().__init__(problem)

    def __str__(self) -> str:
        return f"{self.problem} — {self.remedy}" if self.remedy else self.problem


class SettingsError(ResolverError):
    """A setting is missing, unusable, or contradicts another."""


class PolicyError(SettingsError):
    """A policy that a message, a record or an answer names is not known or makes no sense."""


class RegistryError(ResolverError):
    """A registry file cannot be used as a whole; the stored registry is untouched."""


class RecordError(RegistryError):
    """One registry record is refused; the load goes on without it.

    `index` counts records of the file from 0; `ror_id` is None when the
    record has none that can be read; `field` is the dotted path of the value.
    `unfamiliar`: nothing is wrong with it, but a word of it is none that this version knows.
    """

    def __init__(
        self, *, index: int, ror_id: str | None, field: str, reason: str, unfamiliar: bool = False
    ) -> None:
        self.index = index
        self.ror_id = ror_id
        self.field = field
        self.reason = reason
        self.unfamiliar = unfamiliar
        super().__init__(f"record {index} ({ror_id or 'no id'}): {field}: {reason}")


class FetchError(ResolverError):
    """A release could not be found or downloaded whole; nothing was kept."""


class ModelError(ResolverError):
    """A model cannot be loaded, or is not of the kind that was asked for."""


class RerankerUnavailable(ResolverError):
    """The server of a remote reranker does not answer, or answers with an error that may pass."""


class PairError(ResolverError):
    """A pair cannot be scored; names its number, counted from 0."""


class IndexProblem(ResolverError):
    """The index cannot serve this request."""


class IndexMissing(IndexProblem):
    """No index version is active, or there is none of the name that is asked for."""


class IndexMismatch(IndexProblem):
    """The active index was built from another release, encoder or document form."""


class IndexBusy(IndexProblem):
    """The embedded index is open in another process."""


class IndexUnavailable(IndexProblem):
    """The Qdrant server does not answer, or answers with an error."""


class SearchError(ResolverError):
    """What the full-text search reads is missing or damaged."""


class QueryError(ResolverError):
    """A query of the full-text search cannot be read, or asks for too much; says where."""


class DatabaseProblem(ResolverError):
    """Postgres cannot serve this request."""


class DatabaseUnavailable(DatabaseProblem):
    """Postgres does not answer, breaks off, or takes no writes at present."""


class DatabaseForbidden(DatabaseProblem):
    """Postgres does not let this user do what is needed."""


class DatabaseOutdated(DatabaseProblem):
    """The schema is not the one that this version of the code needs."""


class ResolverSuperseded(ResolverError):
    """Answers of a resolver version that is not in use (any more) were not stored.

    `version_id` is that version's, `current_id` that of the one in use, None where none is.
    """

    def __init__(self, *, version_id: int, current_id: int | None) -> None:
        self.version_id = version_id
        self.current_id = current_id
        in_use = "none" if current_id is None else f"version {current_id}"
        super().__init__(
            f"resolver version {version_id} is not in use, but {in_use}; nothing was stored",
            remedy="do it again with the version in use",
        )


class UpdateRunning(ResolverError):
    """Another process takes in a release or switches versions; nothing was done."""


class BrokerUnavailable(ResolverError):
    """The message broker does not answer."""


class QueueFull(ResolverError):
    """A queue has as many messages as it may have; what was sent before is safe."""


class MessageError(ResolverError):
    """A task message cannot be used as a whole, by whoever takes it."""


class AffiliationsError(ResolverError, TypeError):
    """What is given to a `Resolver` is no list of texts."""


class ServerProblem(ResolverError):
    """A server (`resolver serve`) cannot be used as an `AsyncResolver` uses it.

    `status` is that of its answer, None where there was none.
    """

    def __init__(
        self, problem: str, *, remedy: str | None = None, status: int | None = None
    ) -> None:
        self.status = status
        super().__init__(problem, remedy=remedy)


class ServerUnavailable(ServerProblem):
    """The server does not answer, is full or stops; `wait` has the seconds that it asks to wait."""

    def __init__(
        self,
        problem: str,
        *,
        remedy: str | None = None,
        status: int | None = None,
        wait: float | None = None,
    ) -> None:
        self.wait = wait
        super().__init__(problem, remedy=remedy, status=status)


class RequestRefused(ServerProblem):
    """The server refuses a request, and would refuse it again."""


class JobFailed(ServerProblem):
    """A job failed or was cancelled."""


class JobIncomplete(ServerProblem):
    """A job is finished, and some of its affiliations have no answer.

    `answers` has the `Answer` of each affiliation, in order, None where there is none; `failures`
    says why, by the position of the affiliation from 0.
    """

    def __init__(self, job_id: str, *, answers: Sequence[Any], failures: Mapping[int, str]) -> None:
        self.answers = answers
        self.failures = failures
        position, reason = next(iter(failures.items()))
        super().__init__(
            f"job {job_id}: {len(failures):,} of {len(answers):,} affiliations have no answer; "
            f"the first, at position {position}: {reason}"
        )


class IntakeError(ResolverError):
    """One incoming record is refused; its neighbours go on.

    `position` is its place in the file or chunk, counted from 0.
    """

    def __init__(self, *, position: int, reason: str) -> None:
        self.position = position
        self.reason = reason
        super().__init__(f"record {position}: {reason}")


class FileBroken(ResolverError):
    """A file ends in the middle, or cannot be read further; what came before was read.

    `line` is where, counted from 1 (in Parquet a row, of works a work, as `unit` says).
    """

    def __init__(self, name: str, *, line: int, reason: str, unit: str = "line") -> None:
        self.line = line
        self.unit = unit
        self.reason = reason
        super().__init__(
            f"{name}, {unit} {line}: the file breaks off: {reason}",
            remedy="get the whole file, and send it again",
        )


class BackfillError(ResolverError):
    """A pin, a run or a part of a backfill cannot be used as it is; what is stored stays."""


class GoldError(ResolverError):
    """A file of labelled affiliations cannot be read; names the line."""


class ReviewError(ResolverError):
    """A decision about a stored answer contradicts itself, is not there or cannot be undone."""


class DiskFull(ResolverError):
    """There is no room on the disk for what is to be written; what was begun of it is gone."""
