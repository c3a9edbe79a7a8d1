"""A server on this machine that reranks as Infinity, TEI, vLLM and Cohere-like services do.

Requests must be those of the published OpenAPI documents (see `resolver.reranker.servers`), to the
letter: an unknown field, a wrong type or a missing one is answered as the real server would, or
with 422 where that would ignore it. The scores are a real model's. `faults` make it misbehave.
"""

from __future__ import annotations

import math
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from resolver.reranker import Reranker

MODEL = "tiny/cross-encoder"
Form = Literal["infinity", "tei", "vllm", "cohere"]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class InfinityRequest(Strict):
    """RerankInput of Infinity."""

    query: str = Field(max_length=122_880)
    documents: list[str] = Field(min_length=1, max_length=2048)
    return_documents: bool = False
    raw_scores: bool = False
    model: str = "default/not-specified"
    top_n: int | None = Field(default=None, gt=0)


class TeiRequest(Strict):
    """RerankRequest of TEI."""

    query: str
    texts: list[str]
    raw_scores: bool = False
    return_text: bool = False
    truncate: bool | None = False
    truncation_direction: Literal["Left", "Right"] = "Right"


class VllmRequest(Strict):
    """RerankRequest of vLLM, without the fields for images and priorities."""

    model: str | None = None
    query: str
    documents: list[str]
    top_n: int = 0
    truncate_prompt_tokens: int | None = Field(default=None, ge=-1)
    use_activation: bool | None = None


class CohereRequest(Strict):
    """Cohere's v2/rerank."""

    model: str
    query: str
    documents: list[str] = Field(min_length=1)
    top_n: int | None = Field(default=None, ge=1)
    max_tokens_per_doc: int | None = None


REQUESTS: dict[Form, type[Strict]] = {
    "infinity": InfinityRequest,
    "tei": TeiRequest,
    "vllm": VllmRequest,
    "cohere": CohereRequest,
}


def documents_of(request: Any) -> list[str]:
    documents: list[str] = request.texts if isinstance(request, TeiRequest) else request.documents
    return documents


Fault = Callable[["Handler", Any], None]
"""Answers a request in another way; gets the right answer too."""


@dataclass
class RerankingServer:
    """What the server is, how it misbehaves, and what it was asked."""

    form: Form
    reranker: Reranker
    url: str = ""
    models: list[str] = field(default_factory=lambda: [MODEL])
    info: dict[str, Any] = field(default_factory=dict)
    api_key: str | None = None
    largest: int = 2048
    """Most documents that it takes; TEI tells so unless `info` says otherwise."""
    longest: int = 2_000_000
    """Most bytes of a request that it takes."""
    honest: bool = True
    """Whether it heeds the wish for logits."""
    delay: float = 0.0
    pages: dict[str, tuple[int, str, bytes]] = field(default_factory=dict)
    """Path → status, content type, body of what is served there instead."""
    faults: list[Fault] = field(default_factory=list)
    """One for each /rerank request from the next one on."""
    requests: list[Strict] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)
    """When each /rerank request came."""
    keys: set[str | None] = field(default_factory=set)
    busy: int = 0
    busiest: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def activated(self, logit: float) -> float:
        return 1.0 / (1.0 + math.exp(-logit))

    def forget(self) -> None:
        """Leave out of the records what a load asked."""
        self.requests.clear()
        self.moments.clear()
        self.busiest = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: ClassVar[RerankingServer]

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        state = self.state
        if self.path in state.pages:
            status, kind, body = state.pages[self.path]
            self.answer(status, body, kind)
        elif not self.allowed():
            self.refuse(401, "Unauthorized")
        elif self.path == "/info" and state.form == "tei":
            self.answer(200, orjson.dumps(self.information()))
        elif self.path == "/models" and state.form == "infinity":
            self.answer(200, orjson.dumps({"data": self.listing(), "object": "list"}))
        elif self.path == "/v1/models" and state.form == "vllm":
            self.answer(200, orjson.dumps({"object": "list", "data": self.listing()}))
        else:
            self.refuse(404, "Not Found")

    def information(self) -> dict[str, Any]:
        state = self.state
        return {
            "model_id": state.models[0],
            "model_sha": "4a1f0a0c",
            "model_dtype": "float32",
            "model_type": {"reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}},
            "max_concurrent_requests": 512,
            "max_input_length": 512,
            "max_batch_tokens": 16384,
            "max_client_batch_size": state.largest,
            "auto_truncate": False,
            "tokenization_workers": 1,
            "version": "1.7.1",
        } | state.info

    def listing(self) -> list[dict[str, Any]]:
        told: dict[str, Any]
        if self.state.form == "vllm":
            told = {"object": "model", "created": 1, "owned_by": "vllm", "max_model_len": 8192}
        else:
            told = {
                "object": "model",
                "created": 1,
                "owned_by": "infinity",
                "backend": "torch",
                "stats": {},
                "capabilities": ["rerank"],
            }
        return [{"id": model, **told, **self.state.info} for model in self.state.models]

    def do_POST(self) -> None:
        state = self.state
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with state.lock:
            state.moments.append(time.monotonic())
            state.busy += 1
            state.busiest = max(state.busiest, state.busy)
            fault = state.faults.pop(0) if state.faults else None
        try:
            time.sleep(state.delay)
            if not self.allowed():
                self.refuse(401, f"Unauthorized: {self.headers['Authorization']}")
                return
            if len(body) > state.longest:
                self.refuse(413, f"length limit of {state.longest} exceeded")
                return
            if self.path not in {"/rerank", "/v1/rerank"}:
                self.refuse(404, "Not Found")
                return
            self.rerank(body, fault)
        finally:
            with state.lock:
                state.busy -= 1

    def rerank(self, body: bytes, fault: Fault | None) -> None:
        state = self.state
        assert self.headers["Content-Type"] == "application/json"
        try:
            request = REQUESTS[state.form].model_validate_json(body)
        except ValidationError as error:
            self.refuse(422, str(error))
            return
        with state.lock:
            state.requests.append(request)
        documents = documents_of(request)
        model = getattr(request, "model", None)
        if len(documents) > state.largest:
            self.refuse(413, f"batch size {len(documents)} > maximum {state.largest}")
        elif state.form in {"vllm", "cohere"} and model not in state.models:
            self.refuse(404, f"The model `{model}` does not exist.")
        else:
            right = self.right_answer(request, documents)
            if fault is None:
                self.answer(200, orjson.dumps(right))
            else:
                fault(self, right)

    def right_answer(self, request: Any, documents: list[str]) -> Any:
        state = self.state
        with state.lock:
            logits = state.reranker.score([(request.query, one) for one in documents]).tolist()
        raw = {
            "infinity": lambda: request.raw_scores,
            "tei": lambda: request.raw_scores,
            "vllm": lambda: request.use_activation is False,
            "cohere": lambda: False,
        }[state.form]()
        scores = logits if raw and state.honest else [state.activated(one) for one in logits]
        best_first = sorted(range(len(documents)), key=lambda index: -scores[index])
        if state.form == "tei":
            return [{"index": index, "score": scores[index]} for index in best_first]
        results = [{"index": index, "relevance_score": scores[index]} for index in best_first]
        # With a single model Infinity answers in its own name, whatever was asked for.
        model = state.models[0] if len(state.models) == 1 else request.model
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        return {
            "infinity": {"object": "rerank", "results": results, "model": model, "usage": usage},
            "vllm": {"id": "1", "model": state.models[0], "usage": usage, "results": results},
            "cohere": {"id": "1", "results": results, "meta": {}},
        }[state.form]

    def allowed(self) -> bool:
        given = self.headers["Authorization"]
        self.state.keys.add(given)
        return self.state.api_key is None or given == f"Bearer {self.state.api_key}"

    def refuse(self, status: int, problem: str, headers: dict[str, str] | None = None) -> None:
        told: dict[str, Any] = {"detail": problem}
        if self.state.form == "tei":
            told = {"error": problem, "error_type": "Validation"}
        self.answer(status, orjson.dumps(told), headers=headers)

    def answer(
        self,
        status: int,
        body: bytes,
        kind: str = "application/json",
        *,
        headers: dict[str, str] | None = None,
        drop_after: int | None = None,
    ) -> None:
        try:
            self.send_response(status)
            for name, value in {
                "Content-Type": kind,
                "Content-Length": str(len(body)),
                **(headers or {}),
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body[:drop_after])
            self.wfile.flush()
            if drop_after is not None:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
        except (BrokenPipeError, ConnectionResetError):
            # The client did not wait.
            self.close_connection = True


# Faults


def status(code: int, **headers: str) -> Fault:
    """A status, with headers whose hyphens are written as underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, _: handler.refuse(code, "not now", named)


def dropped(handler: Handler, right: Any) -> None:
    handler.answer(200, orjson.dumps(right), drop_after=9)


def half(handler: Handler, right: Any) -> None:
    body = orjson.dumps(right)
    handler.answer(200, body[: len(body) // 2])


def silent(seconds: float) -> Fault:
    def keep_silent(handler: Handler, right: Any) -> None:
        time.sleep(seconds)
        handler.answer(200, orjson.dumps(right))

    return keep_silent


def trickling(seconds: float) -> Fault:
    """A byte now and then: no read is ever late, the whole is."""

    def trickle(handler: Handler, right: Any) -> None:
        body = orjson.dumps(right)
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        try:
            for number in range(len(body)):
                handler.wfile.write(body[number : number + 1])
                handler.wfile.flush()
                time.sleep(seconds / len(body))
        except (BrokenPipeError, ConnectionResetError):
            handler.close_connection = True

    return trickle


def page(body: bytes, kind: str = "application/json", code: int = 200) -> Fault:
    return lambda handler, _: handler.answer(code, body, kind)


def changed(change: Callable[[list[dict[str, Any]]], Any]) -> Fault:
    """The right answer with its results changed: in place, or by what `change` returns."""

    def answer(handler: Handler, right: Any) -> None:
        results = right if isinstance(right, list) else right["results"]
        new = change(results)
        new = results if new is None else new
        handler.answer(
            200, orjson.dumps(new if isinstance(right, list) else {**right, "results": new})
        )

    return answer


class HttpServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error of the server."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def serving(
    form: Form, reranker: Reranker, *, certificate: Path | None = None, **options: Any
) -> Iterator[RerankingServer]:
    """A server while the block lasts; over TLS with a PEM file of key and certificate."""
    state = RerankingServer(form, reranker, **options)
    handler = type("StatefulHandler", (Handler,), {"state": state})
    with HttpServer(("127.0.0.1", 0), handler) as http:
        scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            http.socket = context.wrap_socket(http.socket, server_side=True)
            scheme = "https"
        state.url = f"{scheme}://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield state
        finally:
            http.shutdown()
            thread.join()
