"""Searches of a client in memory, asked and answered in Qdrant's JSON.

The client's models, which are made of the description of Qdrant's HTTP interface, read each question
and write each answer.
"""

from __future__ import annotations

import re
from typing import Any

import httpx
from pydantic import BaseModel
from qdrant_client import QdrantClient, models

from resolver.index.server import ServerStore


def store_in_memory(client: Any = None, **named: Any) -> ServerStore:
    """A store whose server is a client in memory, `client` or a new one."""
    client = client or QdrantClient(":memory:")
    return ServerStore(client, transport=SearchesInMemory(client), **named)


class SearchesInMemory(httpx.BaseTransport):
    def __init__(self, client: QdrantClient) -> None:
        self._client = client

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        matched = re.fullmatch(r"/collections/([^/]+)/points(/query/batch)?", request.url.path)
        assert request.method == "POST"
        assert matched, request.url
        collection, is_search = matched.groups()
        content = request.read()
        answers: list[Any]
        if is_search:
            batch = models.QueryRequestBatch.model_validate_json(content)
            answers = self._client.query_batch_points(collection, batch.searches)
        else:
            wanted = models.PointRequest.model_validate_json(content)
            answers = self._client.retrieve(
                collection, wanted.ids, with_payload=wanted.with_payload or False
            )
        assert all(isinstance(answer, BaseModel) for answer in answers)
        result = [answer.model_dump(mode="json") for answer in answers]
        return httpx.Response(200, json={"result": result, "status": "ok", "time": 0.0})
