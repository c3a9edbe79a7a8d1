"""Ray: actors on whatever machines there are, each with a part at a time.

All that is known of Ray stands here. It places actors, and says when one has died; it holds no
texts and no outcomes. An actor that dies is replaced, and its part is given to another one.
"""

from __future__ import annotations

import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from resolver.backfill import part, plan
from resolver.backfill.folder import Folder
from resolver.backfill.part import PartDone
from resolver.errors import BackfillError, ResolverError, SettingsError

log = logging.getLogger(__name__)

TRIES = 3
"""Times that a part is given to an actor; actors may die for reasons that are not the part's."""

STARTS = 3
"""Times that Ray is started: it waits 30 s for processes of its own, which a busy machine may not
start in that time."""

LOOK = 30.0
"""Seconds without news after which it is said that no worker has room."""

OBJECTS = 100 * 2**20
"""Bytes of Ray's memory for objects on this machine, near its least: only names and counts pass."""


@dataclass(frozen=True, slots=True)
class Workers:
    """How many actors, and what each of them has of a machine: cores, and GPUs or a fraction of
    one. `address` is a cluster's (``auto``, ``ray://…``); None: this machine alone."""

    count: int
    cpus: float = 1.0
    gpus: float = 0.0
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """What an actor opens: addresses that it can reach, and a folder of its machine."""

    run: str
    pin: str
    scratch: Path


@dataclass(frozen=True, slots=True)
class Refused:
    """Why an actor did not open, or did not answer a part."""

    problem: str
    remedy: str | None


def answer(
    parts: Sequence[str],
    work: Work,
    workers: Workers,
    *,
    report: Callable[[PartDone], None],
    wait: Callable[[str], None] = log.warning,
) -> dict[str, str]:
    """Have each part answered; returns what is wrong with those that were given up, by name.

    `report` is called for each part that an actor says is done, `wait` with a reason while no
    actor can begin.

    Raises:
        SettingsError: Ray is missing.
        BackfillError: no actor can open the pin, or this machine has not what a worker asks for.
    """
    with _started(workers) as ray:
        return _Course(ray, work, workers, report, wait).run(parts)


class _Actor:
    """One process of a worker; its matcher is in a child of it (`resolver.backfill.isolated`)."""

    def __init__(self, work: Work, threads: int) -> None:
        self._work = work
        self._threads = threads
        self._opened: Any = None
        self._parts: part.Parts | None = None

    def open(self) -> Refused | None:
        os.environ.setdefault("RESOLVER_THREADS", str(self._threads))
        try:
            run = Folder(self._work.run)
            self._opened = part.opened(
                run, plan.read(run), Folder(self._work.pin), self._work.scratch
            )
            self._parts = self._opened.__enter__()
        except ResolverError as error:
            return Refused(error.problem, error.remedy)
        return None

    def answer(self, name: str) -> PartDone | Refused:
        assert self._parts is not None
        try:
            return self._parts.answer(name)
        except ResolverError as error:
            return Refused(error.problem, error.remedy)


class _Course:
    """Which actor is at which part."""

    def __init__(
        self,
        ray: Any,
        work: Work,
        workers: Workers,
        report: Callable[[PartDone], None],
        wait: Callable[[str], None],
    ) -> None:
        self._ray = ray
        self._report = report
        self._wait = wait
        self._workers = workers
        threads = max(1, int(workers.cpus))
        # Died is for this program to see, not for Ray to mend: it would open the actor again and
        # again where that is what kills it.
        kind = ray.remote(num_cpus=workers.cpus, num_gpus=workers.gpus, max_restarts=0)(_Actor)
        self._kind = kind
        self._given = work, threads
        self._opening: dict[Any, Any] = {}
        self._working: dict[Any, tuple[Any, str]] = {}
        self._due: deque[str] = deque()
        self._tries: dict[str, int] = {}
        self._problems: dict[str, str] = {}
        self._refusals: list[Refused] = []

    def run(self, parts: Sequence[str]) -> dict[str, str]:
        self._due.extend(parts)
        for _ in range(min(self._workers.count, len(parts))):
            self._open()
        while self._due or self._working:
            if not self._opening and not self._working:
                self._stop()
            waiting = [*self._opening, *self._working]
            ready, _ = self._ray.wait(waiting, num_returns=1, timeout=LOOK)
            if not ready and not self._working:
                self._wait(
                    f"no worker has begun yet: each waits for {self._workers.cpus:g} cores, "
                    f"{self._workers.gpus:g} GPUs and the pin"
                )
            for reference in ready:
                self._look(reference)
        # Actors that wait for a place would wait for ever.
        for actor in self._opening.values():
            self._ray.kill(actor)
        return self._problems

    def _open(self) -> None:
        actor = self._kind.remote(*self._given)
        self._opening[actor.open.remote()] = actor

    def _look(self, reference: Any) -> None:
        opening = self._opening.pop(reference, None)
        actor, name = (opening, None) if opening else self._working.pop(reference)
        try:
            answer = self._ray.get(reference)
        except self._ray.exceptions.RayActorError as error:
            self._died(name, error)
            return
        except self._ray.exceptions.RayTaskError as error:
            # An error that nobody foresaw.
            answer = Refused(str(error).strip().splitlines()[-1], None)
        if name is None:
            if isinstance(answer, Refused):
                log.warning("a worker cannot begin: %s", answer.problem)
                self._refusals.append(answer)
                self._ray.kill(actor)
                return
        elif isinstance(answer, Refused):
            self._failed(name, answer.problem)
        else:
            self._problems.pop(name, None)
            self._report(answer)
        self._give(actor)

    def _give(self, actor: Any) -> None:
        if not self._due:
            # Its place is free for others.
            self._ray.kill(actor)
            return
        name = self._due.popleft()
        self._working[actor.answer.remote(name)] = actor, name

    def _died(self, name: str | None, error: Exception) -> None:
        reason = "a worker died"
        log.warning("%s%s: %s", reason, f" at part {name}" if name else "", error)
        if name is None:
            self._refusals.append(Refused(f"{reason} while it opened the pin", None))
        else:
            self._failed(name, f"{reason} at it")
        # As many deaths as parts may have tries: so this ends.
        if (name is not None or len(self._refusals) < TRIES * self._workers.count) and self._due:
            self._open()

    def _failed(self, name: str, problem: str) -> None:
        self._tries[name] = self._tries.get(name, 0) + 1
        self._problems[name] = problem
        log.warning("part %s: %s (try %d of %d)", name, problem, self._tries[name], TRIES)
        if self._tries[name] < TRIES:
            self._due.append(name)

    def _stop(self) -> None:
        """
        Raises:
            BackfillError: what the last actor was refused for.
        """
        last = self._refusals[-1] if self._refusals else Refused("no worker is left", None)
        raise BackfillError(last.problem, remedy=last.remedy)


@contextmanager
def _started(workers: Workers) -> Iterator[Any]:
    # Ray sends a report of its use unless this is set before it is imported.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise SettingsError(
            "resolver backfill run needs Ray", remedy="pip install 'affiliation-resolver[backfill]'"
        ) from error
    _connect(ray, workers)
    try:
        if not workers.address and workers.gpus > ray.cluster_resources().get("GPU", 0):
            raise BackfillError(
                f"a worker asks for {workers.gpus:g} GPUs, and Ray sees none here",
                remedy="leave out --gpus, or name a cluster with --address",
            )
        yield ray
    finally:
        ray.shutdown()


def _connect(ray: Any, workers: Workers) -> None:
    """
    Raises:
        SettingsError, BackfillError: the cluster does not answer, or Ray does not start here.
    """
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if workers.address:
        if workers.address != "auto":
            _require_answer(workers.address)
        options |= {"address": workers.address}
    else:
        options |= {
            "address": "local",
            "num_cpus": ceil(workers.count * workers.cpus),
            "include_dashboard": False,
            "object_store_memory": OBJECTS,
        }
    for start in range(1, STARTS + 1):
        try:
            ray.init(**options)
            return
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise _away(workers.address, error) from error
        # Ray raises bare ones.
        except Exception as error:
            ray.shutdown()
            if start == STARTS:
                raise BackfillError(
                    f"Ray did not start: {_line(error)}",
                    remedy="run again when the machine is less busy",
                ) from error
            log.warning("Ray did not start (%s); it is started again", _line(error))


def _require_answer(address: str) -> None:
    """Ray itself asks a machine that does not answer for minutes.

    Raises:
        SettingsError: the address has no port.
        BackfillError: nobody listens there.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdecimal():
        raise SettingsError(
            f"--address {address} names no host and port",
            remedy="auto, host:6379, ray://host:10001",
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=LOOK).close()
    except OSError as error:
        raise _away(address, error) from error


def _away(address: str | None, error: Exception) -> BackfillError:
    where = f"the Ray cluster at {address}" if address else "Ray"
    return BackfillError(
        f"{where} does not answer: {getattr(error, 'strerror', None) or _line(error)}",
        remedy="check --address, or leave it out to use this machine alone",
    )


def _line(error: Exception) -> str:
    return (str(error).strip() or repr(error)).splitlines()[0]
