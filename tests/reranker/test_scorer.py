"""A reranker in a scorer: real processes on a real Unix socket, and the built-in model."""

from __future__ import annotations

import multiprocessing
import shutil
import signal
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import Popen

import numpy as np
import pytest
from support.scoring import PATIENCE, scoring, start

from resolver import weights
from resolver.errors import ModelError, PairError, RerankerUnavailable, SettingsError
from resolver.reranker import Pair, Reranker
from resolver.reranker.checking import PAIRS
from resolver.reranker.connection import Refused, ServerClient
from resolver.reranker.loading import load
from resolver.reranker.scorer import FORM, URL, Description, ScorerReranker, connect
from resolver.settings import BUILTIN


def pairs(count: int, of: str = "") -> list[Pair]:
    """Different pairs; each of `of` has others."""
    return [
        (f"{of} {n} {PAIRS[n % len(PAIRS)][0]}", PAIRS[n % len(PAIRS)][1]) for n in range(count)
    ]


@pytest.fixture(scope="module")
def local() -> Reranker:
    return load(BUILTIN, None, threads=1)


@pytest.fixture(scope="module")
def socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("scorer") / "s"
    with scoring(path):
        yield path


@pytest.fixture
def remote(socket: Path) -> Iterator[ScorerReranker]:
    reranker = connect(socket, BUILTIN)
    yield reranker
    reranker.close()


def test_it_is_the_same_reranker(remote: ScorerReranker, local: Reranker) -> None:
    for name in ("name", "fingerprint", "calibration"):
        assert getattr(remote, name) == getattr(local, name)
    long = ("Department of " + "Physics " * 200, "University of Oslo")
    some = [*pairs(50), *pairs(3), ("lone \ud800 surrogate", "Oslo"), long, long]
    before = local.truncated
    assert remote.score(some).tolist() == local.score(some).tolist()
    assert remote.truncated == local.truncated - before == 1
    assert remote.score([]).tolist() == []
    with pytest.raises(PairError, match="pair 1 of 2: the affiliation is empty"):
        remote.score([*pairs(1), ("", "x")])


def test_large_requests_are_divided(
    remote: ScorerReranker, local: Reranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resolver.reranker.scorer.REQUEST_PAIRS", 7)
    assert remote.score(pairs(20)).tolist() == local.score(pairs(20)).tolist()


def _scored(socket: Path, of: str) -> list[float]:
    reranker = connect(socket, BUILTIN)
    return [value for _ in range(5) for value in reranker.score(pairs(8, of)).tolist()]


def test_processes_that_ask_at_once_get_their_own_scores(socket: Path, local: Reranker) -> None:
    names = ["one", "two"]
    with multiprocessing.get_context("spawn").Pool(len(names)) as pool:
        answers = pool.starmap(_scored, [(socket, name) for name in names], chunksize=1)
    for name, answer in zip(names, answers, strict=True):
        assert answer == 5 * local.score(pairs(8, name)).tolist()


def test_only_its_user_may_connect(socket: Path) -> None:
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600


def test_another_model_than_its_own_is_not_given(socket: Path) -> None:
    with pytest.raises(ModelError, match="has the reranker builtin, not some/model"):
        connect(socket, "some/model")
    with pytest.raises(SettingsError, match="RESOLVER_SCORER is set, and the reranker is on"):
        load("http://localhost:1", None, scorer=socket)


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (422, PairError, "1 pairs cannot be scored: the scorer fails"),
        (404, ModelError, "no longer has the reranker"),
        (400, Refused, "the scorer fails"),
    ],
)
def test_a_refusal_is_told_as_what_it_is(
    remote: ScorerReranker,
    status: int,
    error: type[Exception],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise Refused("the scorer fails", status=status, remedy="")

    monkeypatch.setattr(ServerClient, "exchange", refused)
    with pytest.raises(error, match=said):
        remote.score(pairs(1))


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(RerankerUnavailable, match=r"the scorer at .*/none does not answer"):
        connect(tmp_path / "none", BUILTIN, backoff=0.01)


@pytest.mark.parametrize("answer", [None, {}, {"form": FORM + 1}, ["form"]])
def test_what_is_no_scorer_of_this_form_is_refused(answer: object) -> None:
    with pytest.raises(ModelError, match=f"is no scorer of form {FORM}"):
        Description.from_object(answer, Path("s"))


# Its end


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the built-in model, to be changed."""
    folder = tmp_path / "model"
    shutil.copytree(weights.BUILTIN_FOLDER / "reranker", folder)
    shutil.copy(weights.BUILTIN_FOLDER / weights.TOKENIZER, folder)
    return folder


@pytest.mark.slow
def test_a_scorer_that_dies_and_comes_back(tmp_path: Path, model: Path, local: Reranker) -> None:
    """Killed in mid-request; gone; the same again; and with other weights under the name."""
    socket, many = tmp_path / "s", pairs(400)
    running = [start(socket, str(model))]
    try:
        # Long enough for the second scorer to start.
        reranker = connect(socket, str(model), backoff=2.0)
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(reranker.score, many)
            assert _is_in_work(socket)
            _kill(running[-1])
            socket.unlink()
            running.append(start(socket, str(model)))
            assert answer.result(PATIENCE).tolist() == local.score(many).tolist()
        _kill(running[-1])
        with pytest.raises(RerankerUnavailable, match="does not answer"):
            connect(socket, str(model), backoff=0.01)
        with (model / weights.TOKENIZER).open("a") as file:
            file.write("\n")
        socket.unlink()
        running.append(start(socket, str(model)))
        with pytest.raises(ModelError, match="no longer has the reranker that was loaded"):
            reranker.score(pairs(1))
    finally:
        for process in running:
            process.kill()
            process.communicate()


@pytest.mark.slow
def test_it_finishes_what_it_took_when_it_is_asked_to_end(tmp_path: Path, local: Reranker) -> None:
    socket, many = tmp_path / "s", pairs(400)
    with scoring(socket) as process:
        reranker = connect(socket, BUILTIN)
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(reranker.score, many)
            assert _is_in_work(socket)
            process.send_signal(signal.SIGTERM)
            np.testing.assert_array_equal(answer.result(PATIENCE), local.score(many))
        assert process.wait(PATIENCE) == 0
        assert not socket.exists()


def _kill(process: Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _is_in_work(socket: Path) -> bool:
    """Waits until a request is computed."""
    client = ServerClient(URL, socket=socket)
    client.open()
    ended = threading.Event()
    for _ in range(10 * PATIENCE):
        text = client.exchange(
            "GET", f"{URL}/metrics", None, ended, bytes.decode, kind="text/plain"
        )
        if "resolver_scorer_wait_seconds_count 0.0" not in text:
            return True
        ended.wait(0.1)
    return False
