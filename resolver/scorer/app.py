"""The scorer's HTTP application: one reranker, described and computed.

    GET  /reranker                            which one it is (`Description`)
    GET  /rerankers/FINGERPRINT/tokenizer     its tokenizer.json
    POST /rerankers/FINGERPRINT/logits        token ids (`tokenised.to_bytes`) → float32
    GET  /metrics, /healthz

Statuses: 400 a request that no client of this program sends, 404 another fingerprint than the
reranker's, 413 too large, 422 the reranker fails on this request, 503 full or stopping.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from resolver.observing.metrics import ScorerMetrics
from resolver.reranker.scorer import TENSORS, Description
from resolver.reranker.tokenised import TokenReranker, from_bytes
from resolver.scorer.batching import Batches, RequestFailed, ScorerFull

MAX_REQUEST = 64 * 2**20
"""Bytes of a request; one of a client's has at most some 4 MB."""

STUCK_SECONDS = 60.0
"""Seconds in one batch after which the scorer is not healthy; a GPU takes a tenth of one, a CPU
with a large model some seconds."""


def create_app(reranker: TokenReranker, metrics: ScorerMetrics) -> Starlette:
    """The application of a reranker; `app.state.batches` are there while it runs."""
    described = Description.of(reranker)
    tokenizer = reranker.tokens.content()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.batches = Batches(reranker, metrics=metrics)
        try:
            yield
        finally:
            await asyncio.to_thread(app.state.batches.close)

    def is_other(request: Request) -> Response | None:
        """The refusal of a request for another reranker."""
        if request.path_params["fingerprint"] == described.fingerprint:
            return None
        return PlainTextResponse(f"the reranker here is {described.name}", 404)

    async def description(_: Request) -> Response:
        return JSONResponse(described.to_object())

    async def tokenizer_json(request: Request) -> Response:
        return is_other(request) or Response(tokenizer, media_type="application/json")

    async def logits(request: Request) -> Response:
        if refusal := is_other(request):
            return refusal
        if int(request.headers.get("content-length") or 0) > MAX_REQUEST:
            return PlainTextResponse(f"more than {MAX_REQUEST:,} bytes", 413)
        try:
            sequences = from_bytes(await request.body(), reranker.tokens)
            answer = request.app.state.batches.submit(sequences)
        except ValueError as error:
            return PlainTextResponse(str(error), 400)
        except ScorerFull as error:
            return PlainTextResponse(str(error), 503, {"Retry-After": "1"})
        try:
            computed = await asyncio.wrap_future(answer)
        except RequestFailed as error:
            return PlainTextResponse(str(error), 422)
        return Response(computed.astype("<f4").tobytes(), media_type=TENSORS)

    async def exposed(_: Request) -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    async def healthy(request: Request) -> Response:
        problem = stuck(request.app.state.batches)
        return PlainTextResponse(f"{problem or 'ok'}\n", 503 if problem else 200)

    return Starlette(
        routes=[
            Route("/reranker", description),
            Route("/rerankers/{fingerprint}/tokenizer", tokenizer_json),
            Route("/rerankers/{fingerprint}/logits", logits, methods=["POST"]),
            Route("/metrics", exposed),
            Route("/healthz", healthy),
        ],
        lifespan=lifespan,
    )


def stuck(batches: Batches) -> str | None:
    """What is wrong with the computing; None where nothing is."""
    seconds = batches.busy_for()
    return f"one batch takes {seconds:.0f} s" if seconds > STUCK_SECONDS else None
