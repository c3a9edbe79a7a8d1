"""resolver.reranker.remote, against a server on this machine that really scores.

With ``RESOLVER_TEST_INFINITY_URL`` the first tests run against a real Infinity as well;
``RESOLVER_TEST_INFINITY_MODEL`` is then the path of the cross-encoder that it serves.
"""

from __future__ import annotations

import logging
import math
import multiprocessing
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from pydantic import SecretStr
from support.reranking_server import (
    MODEL,
    Fault,
    Form,
    RerankingServer,
    changed,
    documents_of,
    dropped,
    half,
    page,
    serving,
    silent,
    status,
    trickling,
)

from resolver.errors import ModelError, PairError, RerankerUnavailable, SettingsError
from resolver.reranker import Calibration, Pair, Reranker
from resolver.reranker.loading import load
from resolver.reranker.remote import RemoteReranker, load_remote
from resolver.reranker.servers import CLIPPED, FORMS, ServerAddress, parse
from resolver.settings import BUILTIN

FORM_NAMES: tuple[Form, ...] = get_args(Form)
LOGIT_FORMS: tuple[Form, ...] = ("infinity", "tei", "vllm")
INFINITY_URL = os.environ.get("RESOLVER_TEST_INFINITY_URL")

AFFILIATIONS = (
    "Department of Physics, University of Oslo, Norway",
    "Inst. f. Chemie, Univ. Wien",
    "東京大学大学院医学系研究科",
    "Московский государственный университет",
    "lone \ud800 surrogate, Oslo University Hospital",
)
DOCUMENTS = (
    "University of Oslo, Oslo, Norway",
    "University of Vienna (Universität Wien), Vienna, Austria",
    "The University of Tokyo (東京大学), Tokyo, Japan",
    "Lomonosov Moscow State University, Moscow, Russia",
    "Oslo University Hospital, Oslo, Norway",
    "Instituto de Pesca, Santos, Brazil",
    "ETH Zurich, Zurich, Switzerland",
)
# In turns, so that neighbours are of different requests, and each pair twice.
PAIRS: list[Pair] = [(one, other) for other in DOCUMENTS for one in AFFILIATIONS] * 2


@pytest.fixture(scope="module")
def local() -> Reranker:
    return load(BUILTIN, None, threads=1)


@pytest.fixture(params=FORM_NAMES)
def server(request: pytest.FixtureRequest, local: Reranker) -> Iterator[RerankingServer]:
    with serving(request.param, local) as state:
        yield state


@pytest.fixture
def tei(local: Reranker) -> Iterator[RerankingServer]:
    with serving("tei", local) as state:
        yield state


def address(server: RerankingServer) -> str:
    return f"cohere+{server.url}?model={MODEL}" if server.form == "cohere" else server.url


@contextmanager
def loaded(server: RerankingServer, **options: Any) -> Iterator[RemoteReranker]:
    """The server's reranker; what its load asked is not in the server's records."""
    with load_remote(address(server), **{"backoff": 0.01, "timeout": 5.0, **options}) as reranker:
        server.forget()
        yield reranker


# The contract


@pytest.fixture(params=[*FORM_NAMES, *(["a real Infinity"] if INFINITY_URL else [])])
def remote_and_local(
    request: pytest.FixtureRequest, local: Reranker
) -> Iterator[tuple[RemoteReranker, Reranker]]:
    if request.param == "a real Infinity":
        assert INFINITY_URL is not None
        reference = load(os.environ["RESOLVER_TEST_INFINITY_MODEL"], "cpu")
        with load_remote(INFINITY_URL) as remote:
            yield remote, reference
        return
    with serving(request.param, local) as state, loaded(state) as remote:
        yield remote, local


def test_scores_are_the_local_ones(
    remote_and_local: tuple[RemoteReranker, Reranker],
) -> None:
    remote, local = remote_and_local
    scores = remote.score(PAIRS)
    assert scores.dtype == np.float32
    assert scores.shape == (len(PAIRS),)
    # A probability of half precision or better is a logit to this; logits come as they are.
    tolerance = 1e-4 if remote.name.startswith("cohere") or INFINITY_URL else 1e-5
    np.testing.assert_allclose(scores, local.score(PAIRS), atol=tolerance)
    np.testing.assert_allclose(remote.score(PAIRS[::-1]), scores[::-1], atol=tolerance)
    assert np.ptp(scores) > 1.0


def test_no_pairs(remote_and_local: tuple[RemoteReranker, Reranker]) -> None:
    scores = remote_and_local[0].score([])
    assert scores.shape == (0,)
    assert scores.dtype == np.float32


@pytest.mark.parametrize("pair", [("", "Oslo"), ("Oslo", " \t\u200b")], ids=["first", "second"])
def test_a_pair_without_text(remote_and_local: tuple[RemoteReranker, Reranker], pair: Pair) -> None:
    with pytest.raises(PairError, match="pair 1 "):
        remote_and_local[0].score([PAIRS[0], pair])


def test_the_name_names_it_again(remote_and_local: tuple[RemoteReranker, Reranker]) -> None:
    remote, _ = remote_and_local
    with load_remote(remote.name) as again:
        assert (again.name, again.fingerprint) == (remote.name, remote.fingerprint)


# Requests


@pytest.mark.parametrize("largest", [3, 5, 100])
def test_one_affiliation_a_request_and_no_pair_twice(
    server: RerankingServer, local: Reranker, largest: int
) -> None:
    server.largest = largest
    with loaded(server) as reranker:
        scores = reranker.score(PAIRS)
        # What it learnt from a refusal it keeps.
        server.forget()
        np.testing.assert_array_equal(reranker.score(PAIRS), scores)
    np.testing.assert_allclose(scores, local.score(PAIRS), atol=1e-4)
    batches = [(request.query, documents_of(request)) for request in server.requests]
    asked = [(query, document) for query, documents in batches for document in documents]
    assert len(asked) == len(set(asked)) == len(AFFILIATIONS) * len(DOCUMENTS)
    sizes = [len(documents) for _, documents in batches]
    # TEI tells its limit. That of the others is found by halving 7.
    told = {3: 3, 5: 5, 100: 7}
    assert max(sizes) == (told if server.form == "tei" else {3: 2, 5: 3, 100: 7})[largest]


def test_several_at_a_time_but_no_more_than_allowed(tei: RerankingServer) -> None:
    tei.delay = 0.05
    tei.largest = 2
    with loaded(tei, in_flight=3) as reranker:
        reranker.score(PAIRS)
    assert tei.busiest == 3


def test_the_key_is_sent_and_never_shown(
    tei: RerankingServer, caplog: pytest.LogCaptureFixture
) -> None:
    tei.api_key = "s3cret"
    caplog.set_level(logging.DEBUG)
    with loaded(tei, api_key=SecretStr("s3cret")) as reranker:
        reranker.score(PAIRS)
        assert tei.keys == {"Bearer s3cret"}
        tei.api_key = "another"
        # The server repeats the key in its refusal.
        with pytest.raises(ModelError, match=r"answers 401.*RESOLVER_RERANKER_API_KEY") as caught:
            reranker.score(PAIRS)
    assert "***" in str(caught.value)
    assert "s3cret" not in str(caught.value) + repr(caught.value) + caplog.text + repr(
        vars(reranker)
    )


def test_a_key_in_clear_text_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(RerankerUnavailable):
        load_remote("http://127.0.0.2:1", api_key=SecretStr("s3cret"), backoff=0.001)
    assert "can be read on the way" in caplog.text
    assert "s3cret" not in caplog.text


def test_a_forked_child_opens_its_own_connections(tei: RerankingServer) -> None:
    with loaded(tei) as reranker:
        expected = reranker.score(PAIRS[:5])
        context = multiprocessing.get_context("fork")
        theirs, ours = context.Pipe()
        child = context.Process(target=lambda: theirs.send(reranker.score(PAIRS[:5])), daemon=True)
        child.start()
        assert ours.poll(20)
        np.testing.assert_array_equal(ours.recv(), expected)
        child.join(5)
        np.testing.assert_array_equal(reranker.score(PAIRS[:5]), expected)


# Failures that pass


@pytest.mark.parametrize(
    ("faults", "requests"),
    [
        pytest.param([status(503)] * 2, 3, id="503 twice"),
        pytest.param([status(502), status(504)], 3, id="502, 504"),
        pytest.param([status(424)], 2, id="inference failed"),
        pytest.param([status(429)], 2, id="overloaded"),
        pytest.param([status(500)], 2, id="500"),
        pytest.param([dropped], 2, id="connection dropped"),
        pytest.param([half], 2, id="half the JSON"),
        pytest.param([page(b"")], 2, id="nothing"),
        pytest.param([silent(1.5)], 2, id="too slow once"),
        pytest.param([trickling(3.0)], 2, id="trickling once"),
    ],
)
def test_what_passes_is_tried_again(
    tei: RerankingServer, local: Reranker, faults: list[Fault], requests: int
) -> None:
    pairs = [(AFFILIATIONS[0], document) for document in DOCUMENTS]
    with loaded(tei, timeout=1.0) as reranker:
        tei.faults = list(faults)
        np.testing.assert_allclose(reranker.score(pairs), local.score(pairs), atol=1e-5)
    assert len(tei.moments) == requests


def test_the_server_says_when_to_come_again(tei: RerankingServer) -> None:
    with loaded(tei) as reranker:
        tei.faults = [status(429, Retry_After="1")]
        reranker.score(PAIRS[:1])
    first, second = tei.moments
    assert 1.0 <= second - first < 2.0


@pytest.mark.parametrize(
    ("fault", "problem", "remedy", "requests"),
    [
        pytest.param(status(503), r"answers 503.*not now.*4 attempts", "runs", 4, id="503"),
        pytest.param(status(429), "answers 429.*4 attempts", "runs", 4, id="429"),
        pytest.param(
            status(429, Retry_After="3600"), "answers 429.*1 attempt", "in 3,600 s", 1, id="an hour"
        ),
        pytest.param(dropped, "does not answer.*4 attempts", "runs", 4, id="dropped"),
        pytest.param(half, "damaged JSON.*4 attempts", "runs", 4, id="half the JSON"),
        pytest.param(page(b'[{"index": 0, "score": NaN}]'), "damaged JSON", "runs", 4, id="NaN"),
        pytest.param(silent(1.6), "not answer", "runs", 2, id="too slow"),
        pytest.param(trickling(4.0), "not", "runs", 2, id="trickling"),
    ],
)
def test_what_stays_ends_soon_and_clearly(
    tei: RerankingServer, fault: Fault, problem: str, remedy: str, requests: int
) -> None:
    with loaded(tei, timeout=1.0) as reranker:
        tei.faults = [fault] * 9
        begun = time.monotonic()
        with pytest.raises(RerankerUnavailable, match=problem) as caught:
            reranker.score(PAIRS[:1])
        assert time.monotonic() - begun < 15.0
        assert caught.value.remedy is not None
        assert remedy in caught.value.remedy
        assert len(tei.moments) in (requests, requests + 1)
        # Nothing is left broken behind.
        tei.faults.clear()
        assert np.isfinite(reranker.score(PAIRS[:1])).all()


def test_the_first_failure_stops_the_other_requests(tei: RerankingServer) -> None:
    tei.largest = 1
    with loaded(tei, in_flight=2, backoff=60.0, timeout=60.0) as reranker:
        # One request waits for a minute, when the other one is refused.
        tei.faults = [status(503), status(422)]
        begun = time.monotonic()
        with pytest.raises(ModelError, match="answers 422"):
            reranker.score(PAIRS)
        assert time.monotonic() - begun < 30.0
    assert len(tei.moments) < 5


def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(
            RerankerUnavailable, match=f"{url} does not answer.*refused.*that the server runs"
        ):
            load_remote(url, backoff=0.01)


def test_nobody_answers() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        begun = time.monotonic()
        with pytest.raises(RerankerUnavailable, match="not answer"):
            load_remote(url, timeout=0.2, backoff=0.01)
        assert time.monotonic() - begun < 30.0


def test_another_model_comes_back_after_an_outage(tei: RerankingServer) -> None:
    with loaded(tei) as reranker:
        tei.faults = [dropped]
        reranker.score(PAIRS)
        tei.info = {"model_sha": "another"}
        # It cannot be seen as long as the server does not go away.
        reranker.score(PAIRS)
        tei.faults = [dropped]
        for _ in range(2):
            with pytest.raises(ModelError, match=r"no longer the one.*another.*4a1f0a0c"):
                reranker.score(PAIRS)


# Failures that stay


def first(**changes: object) -> Fault:
    return changed(lambda results: results[0].update(changes))


def rescored(score: object) -> Fault:
    return changed(
        lambda results: [
            {key: score if "score" in key else value for key, value in result.items()}
            for result in results
        ]
    )


@pytest.mark.parametrize("server", ["infinity", "tei"], indirect=True)
@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        pytest.param(changed(lambda results: results[1:]), "6 of 7 .* is missing", id="missing"),
        pytest.param(changed(lambda results: []), "0 of 7 .* 0 is missing", id="none"),
        pytest.param(changed(lambda results: [*results, results[0]]), "twice", id="one too many"),
        pytest.param(
            changed(lambda results: [results[0], *results[:-1]]),
            "twice",
            id="one in place of another",
        ),
        pytest.param(first(index=7), "the index 7 among 7", id="index too high"),
        pytest.param(first(index=-1), "the index -1 among 7", id="index too low"),
        pytest.param(first(index="0"), "the index '0'", id="index as text"),
        pytest.param(first(index=True), "the index True", id="index as truth"),
        pytest.param(changed(lambda results: [7] * 7), "the index None", id="numbers only"),
        pytest.param(rescored(None), "the score None", id="no score"),
        pytest.param(rescored("0.5"), "the score '0.5'", id="score as text"),
        pytest.param(rescored(True), "the score True", id="score as truth"),
        pytest.param(page(b"{}"), "no list of results|is of the model None", id="empty object"),
        pytest.param(page(b"7"), "no list of results", id="number"),
        pytest.param(page(b"null"), "no list of results", id="null"),
        pytest.param(page(b"<p>", "text/html"), "text/html, not JSON", id="HTML"),
        pytest.param(status(400), "answers 400.*not now", id="400"),
        pytest.param(status(401), "answers 401.*RESOLVER_RERANKER_API_KEY", id="401"),
        pytest.param(status(403), "answers 403.*RESOLVER_RERANKER_API_KEY", id="403"),
        pytest.param(status(404), "answers 404.*model=", id="404"),
        pytest.param(status(422), "answers 422", id="422"),
        pytest.param(status(307, Location="/elsewhere"), "307.*redirects", id="redirect"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(
    server: RerankingServer, fault: Fault, problem: str
) -> None:
    pairs = [(AFFILIATIONS[0], document) for document in DOCUMENTS]
    with loaded(server) as reranker:
        server.faults = [fault]
        with pytest.raises(ModelError, match=problem) as caught:
            reranker.score(pairs)
    assert caught.value.remedy
    assert len(server.moments) == 1


@pytest.mark.parametrize("number", ["1e39", "-1e300", "1e999"])
def test_scores_beyond_single_precision(tei: RerankingServer, number: str) -> None:
    with loaded(tei) as reranker:
        tei.faults = [page(f'[{{"index": 0, "score": {number}}}]'.encode())] * 4
        with pytest.raises((ModelError, RerankerUnavailable), match=r"the score|damaged JSON"):
            reranker.score(PAIRS[:1])


def test_infinity_answers_for_another_model(local: Reranker) -> None:
    with serving("infinity", local) as server, loaded(server) as reranker:
        server.models = ["another/model"]
        with pytest.raises(ModelError, match="is of the model 'another/model', not of 'tiny/cross"):
            reranker.score(PAIRS)


@pytest.mark.parametrize("form", ["vllm", "cohere"])
def test_the_model_is_gone(local: Reranker, form: Form) -> None:
    with serving(form, local) as server, loaded(server) as reranker:
        server.models = ["another/model"]
        with pytest.raises(ModelError, match=f"answers 404.*{MODEL}"):
            reranker.score(PAIRS)


def test_a_single_pair_that_is_too_large(server: RerankingServer, local: Reranker) -> None:
    large = (AFFILIATIONS[0], "Oslo " * 1000)
    with loaded(server) as reranker:
        server.longest = 2000
        with pytest.raises(PairError, match=r"pair 2 of 4, with texts of 49 and 5,000 .* 413"):
            reranker.score([PAIRS[0], PAIRS[0], large, PAIRS[1]])
        # The neighbours are scored without it, in requests as large as before.
        server.forget()
        np.testing.assert_allclose(reranker.score(PAIRS), local.score(PAIRS), atol=1e-4)
        assert max(len(documents_of(request)) for request in server.requests) == len(DOCUMENTS)


# What a server is


@pytest.mark.parametrize("form", LOGIT_FORMS)
def test_the_form_is_found_out(local: Reranker, form: Form) -> None:
    with serving(form, local) as server, loaded(server) as reranker:
        assert reranker.name.startswith(f"{form}+{server.url}")
        assert reranker.name.endswith(f"?model={MODEL}")
        assert reranker.truncated == 0


@pytest.mark.parametrize(
    ("form", "prefix", "options", "problem"),
    [
        pytest.param("tei", "", {"form": "infinity"}, "is not of the form tei", id="not TEI"),
        pytest.param(
            "infinity", "", {"form": "tei"}, "not of the form infinity", id="not Infinity"
        ),
        pytest.param("vllm", "", {"form": "tei"}, "not of the form vllm", id="not vLLM"),
        pytest.param("", "", {"form": "cohere"}, "no reranking server known", id="unknown"),
        pytest.param("", "/deep", {"form": "tei"}, "no reranking server known", id="other path"),
        pytest.param(
            "",
            "",
            {"form": "cohere", "pages": {"/info": (200, "text/html", b"<p>")}},
            "no reranking server known",
            id="a web site",
        ),
        pytest.param(
            "",
            "",
            {"form": "tei", "info": {"model_type": {"embedding": {"pooling": "cls"}}}},
            "as embedding, not as a reranker",
            id="an encoder on TEI",
        ),
        pytest.param(
            "",
            "",
            {"form": "infinity", "info": {"capabilities": ["embed"]}},
            "has no model that reranks",
            id="an encoder on Infinity",
        ),
        pytest.param(
            "", "", {"form": "infinity", "models": []}, "no reranking server known", id="no models"
        ),
        pytest.param(
            "",
            "",
            {"form": "infinity", "models": ["a/b", "c/d"]},
            "several rerankers: a/b, c/d — name one",
            id="several models",
        ),
        pytest.param(
            "",
            "?model=e/f",
            {"form": "infinity", "models": ["a/b", "c/d"]},
            "no reranker e/f, but a/b, c/d",
            id="not there",
        ),
        pytest.param("", "?model=e/f", {"form": "tei"}, "no reranker e/f, but", id="not on TEI"),
        pytest.param("", "", {"form": "tei", "api_key": "k"}, "401.*API_KEY", id="no key"),
        pytest.param(
            "", "", {"form": "infinity", "honest": False}, "not give logits", id="old Infinity"
        ),
        pytest.param("", "", {"form": "tei", "honest": False}, "not give logits", id="old TEI"),
        pytest.param("", "", {"form": "vllm", "honest": False}, "not give logits", id="old vLLM"),
        pytest.param(
            "cohere",
            f"?model={MODEL}&scores=probabilities",
            {"form": "cohere", "faults": [rescored(3.5)]},
            "no probability",
            id="logits undeclared",
        ),
    ],
)
def test_servers_that_will_not_do(
    local: Reranker, form: str, prefix: str, options: dict[str, Any], problem: str
) -> None:
    with serving(reranker=local, **options) as server:
        name = f"{form}+{server.url}{prefix}" if form else f"{server.url}{prefix}"
        with pytest.raises(ModelError, match=problem) as caught:
            load_remote(name, backoff=0.01)
    assert caught.value.remedy


def test_one_of_several_models(local: Reranker) -> None:
    with (
        serving("infinity", local, models=["a/b", MODEL]) as server,
        load_remote(f"{server.url}/?model={MODEL}") as reranker,
    ):
        np.testing.assert_allclose(reranker.score(PAIRS), local.score(PAIRS), atol=1e-5)
        assert {request.model for request in server.requests} == {MODEL}


@pytest.mark.parametrize(
    ("form", "changes", "same"),
    [
        pytest.param("tei", {"models": ["another/model"]}, False, id="model"),
        pytest.param("tei", {"info": {"model_sha": "0"}}, False, id="revision"),
        pytest.param("tei", {"info": {"model_dtype": "float16"}}, False, id="precision"),
        pytest.param("tei", {"info": {"max_input_length": 128}}, False, id="length"),
        pytest.param("tei", {"info": {"version": "2.0"}}, True, id="server's version"),
        pytest.param("tei", {"info": {"max_client_batch_size": 8}}, True, id="batch"),
        pytest.param("infinity", {"models": ["another/model"]}, False, id="Infinity's model"),
        pytest.param(
            "infinity", {"info": {"created": 5, "stats": {"x": 1}}}, True, id="statistics"
        ),
        pytest.param("infinity", {"info": {"backend": "optimum"}}, False, id="backend"),
        pytest.param("vllm", {"info": {"max_model_len": 512}}, False, id="vLLM's length"),
        pytest.param("vllm", {"info": {"root": "/models/2"}}, False, id="vLLM's weights"),
    ],
)
def test_fingerprint(local: Reranker, form: Form, changes: dict[str, Any], same: bool) -> None:
    # Two servers, hence two addresses as well.
    with (
        serving(form, local) as one,
        serving(form, local, **changes) as other,
        loaded(one) as first,
        loaded(other) as second,
    ):
        assert len(first.fingerprint) == 32
        assert (first.fingerprint == second.fingerprint) is same


@pytest.mark.parametrize(
    ("probability", "logit"),
    [
        (0.5, 0.0),
        (0.9, math.log(9.0)),
        (1.0, math.log((1 - CLIPPED) / CLIPPED)),
        (0.0, -math.log((1 - CLIPPED) / CLIPPED)),
        (0, -math.log((1 - CLIPPED) / CLIPPED)),
    ],
)
def test_probabilities_become_logits(local: Reranker, probability: float, logit: float) -> None:
    with serving("cohere", local) as server, loaded(server) as reranker:
        server.faults = [rescored(probability)]
        assert reranker.score(PAIRS[:1])[0] == pytest.approx(logit, abs=1e-4)


@pytest.mark.parametrize("probability", [-0.01, 1.01])
def test_what_is_no_probability(local: Reranker, probability: float) -> None:
    with serving("cohere", local) as server, loaded(server) as reranker:
        server.faults = [rescored(probability)]
        with pytest.raises(ModelError, match="no probability — add scores=logits"):
            reranker.score(PAIRS[:1])


def test_logits_in_coheres_form(local: Reranker) -> None:
    name = "cohere+{}/v1/rerank?model=tiny/cross-encoder&scores=logits"
    with serving("cohere", local) as server:
        server.activated = lambda logit: logit  # type: ignore[method-assign]
        with load_remote(name.format(server.url)) as reranker:
            np.testing.assert_allclose(reranker.score(PAIRS), local.score(PAIRS), atol=1e-5)
            assert reranker.name == name.format(server.url).replace("/rerank?", "?")


def test_certificates_are_verified(
    local: Reranker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl makes the certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        f"{openssl} req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test "
        f"-addext subjectAltName=IP:127.0.0.1 -keyout {key} -out {certificate}".split(),
        check=True,
        capture_output=True,
    )
    both = tmp_path / "both.pem"
    both.write_text(key.read_text() + certificate.read_text())
    with serving("tei", local, certificate=both) as server:
        with pytest.raises(ModelError, match=r"certificate.*SSL_CERT_FILE"):
            load_remote(server.url, backoff=0.01)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with loaded(server) as reranker:
            np.testing.assert_allclose(reranker.score(PAIRS), local.score(PAIRS), atol=1e-5)


# Settings


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("http://host:7997", ServerAddress("http://host:7997")),
        ("https://host/", ServerAddress("https://host")),
        ("http://host/a/b/rerank", ServerAddress("http://host/a/b")),
        ("http://[::1]:8080", ServerAddress("http://[::1]:8080")),
        ("tei+https://host", ServerAddress("https://host", FORMS["tei"])),
        ("http://host?model=a/b", ServerAddress("http://host", None, "a/b")),
        ("http://host?model=a%20b", ServerAddress("http://host", None, "a b")),
        ("cohere+http://host/v2?model=m", ServerAddress("http://host/v2", FORMS["cohere"], "m")),
        (
            "cohere+http://host?model=m&scores=logits",
            ServerAddress("http://host", FORMS["cohere"], "m", logits=True),
        ),
    ],
)
def test_addresses(name: str, expected: ServerAddress) -> None:
    assert parse(name) == expected


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("ftp://host", "ftp:// is not known"),
        ("openai+http://host", r"openai\+http:// is not known"),
        ("http://", "not the address of a server"),
        ("http://:80", "not the address of a server"),
        ("http://host:port", "not a URL"),
        ("http://host:99999", "not a URL"),
        ("http://[::1", "not a URL"),
        ("http://a b", "not a URL"),
        ("http://host#part", "not a URL"),
        ("http://host?modle=x", "modle is no part"),
        ("http://host?model=", "no model is named"),
        ("cohere+http://host", "no model is named"),
        ("http://host?scores=logits", "scores=logits cannot be had"),
        ("cohere+http://host?model=m&scores=stars", "scores=stars cannot be had"),
        ("http://user:pa55@host", "holds a user or a password"),
        ("tei+https://pa55@host:1", "holds a user or a password"),
        ("http://user:pa55@host:port", "not a URL"),
        ("http://user:pa55/@host", "not a URL"),
        ("http://user:pa55?@host", "not a URL"),
        ("http://host?api_key=pa55", "api_key is no part"),
    ],
)
def test_addresses_that_are_none(name: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem) as caught:
        load(name, None)
    assert caught.value.remedy
    assert "pa55" not in str(caught.value)
    assert "pa55" not in repr(caught.value.__cause__)


def test_a_calibration_of_this_machine(
    tei: RerankingServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "calibration.json"
    file.write_text('{"slope": 2, "intercept": -1}')
    calibrated = load(tei.url, None, calibration=file)
    assert calibrated.calibration == Calibration(2.0, -1.0)
    assert "plain sigmoid" not in caplog.text
    assert load(tei.url, None).calibration == Calibration()
    assert "plain sigmoid" in caplog.text
    with pytest.raises(ModelError, match=r"no calibration .*missing\.json"):
        load(tei.url, None, calibration=tmp_path / "missing.json")
    file.write_text("{}")
    with pytest.raises(ModelError, match="is no calibration"):
        load(tei.url, None, calibration=file)
    with pytest.raises(SettingsError, match="builtin is not on a server"):
        load(BUILTIN, None, calibration=file)
