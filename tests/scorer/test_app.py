"""What the scorer answers to requests, by status."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
from starlette.testclient import TestClient

from resolver.observing.metrics import ScorerMetrics
from resolver.reranker.checking import PAIRS
from resolver.reranker.loading import load
from resolver.reranker.sequences import Sequences
from resolver.reranker.tokenised import TokenReranker, to_bytes, token_reranker
from resolver.scorer import app as scorer_app
from resolver.scorer.app import create_app


@pytest.fixture(scope="module")
def reranker() -> TokenReranker:
    return token_reranker(load("builtin", None, threads=1))


@pytest.fixture
def client(reranker: TokenReranker) -> Iterator[TestClient]:
    with TestClient(create_app(reranker, ScorerMetrics())) as client:
        yield client


def asked(reranker: TokenReranker) -> tuple[str, bytes]:
    """The path of its logits, and a request for those of `PAIRS`."""
    content = to_bytes(reranker.tokens.encode(list(PAIRS)))
    return f"/rerankers/{reranker.fingerprint}/logits", content


def test_logits(client: TestClient, reranker: TokenReranker) -> None:
    path, content = asked(reranker)
    answer = client.post(path, content=content)
    assert answer.status_code == 200
    assert np.frombuffer(answer.content, "<f4").tolist() == reranker.score(list(PAIRS)).tolist()
    assert "resolver_scorer_pairs_total 8.0" in client.get("/metrics").text


def test_what_cannot_be_answered(
    client: TestClient, reranker: TokenReranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, content = asked(reranker)
    other = path.replace(reranker.fingerprint, "0" * 32)
    assert client.post(other, content=content).status_code == 404
    assert client.get(other.replace("logits", "tokenizer")).status_code == 404
    assert client.post(path, content=content[:-4]).status_code == 400
    monkeypatch.setattr(scorer_app, "MAX_REQUEST", len(content) - 1)
    assert client.post(path, content=content).status_code == 413


def test_a_request_that_fails_by_itself(
    client: TestClient, reranker: TokenReranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, content = asked(reranker)
    logits = type(reranker).logits

    def failing(self: TokenReranker, sequences: Sequences) -> npt.NDArray[np.float32]:
        if len(sequences) == len(PAIRS):
            raise ZeroDivisionError("poison")
        return logits(self, sequences)

    monkeypatch.setattr(type(reranker), "logits", failing)
    answer = client.post(path, content=content)
    assert answer.status_code == 422
    assert "ZeroDivisionError: poison" in answer.text


def test_a_full_scorer_says_when_to_come_again(
    client: TestClient, reranker: TokenReranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, content = asked(reranker)
    monkeypatch.setattr(client.app.state.batches, "_closed", True)  # type: ignore[attr-defined]
    answer = client.post(path, content=content)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    monkeypatch.undo()
    assert client.post(path, content=content).status_code == 200


def test_health(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client.get("/healthz").status_code == 200
    monkeypatch.setattr(client.app.state.batches, "busy_for", lambda: 90.0)  # type: ignore[attr-defined]
    answer = client.get("/healthz")
    assert (answer.status_code, answer.text) == (503, "one batch takes 90 s\n")
