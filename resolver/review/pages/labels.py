"""Decisions as labels, for evaluation and training."""

from __future__ import annotations

from dataclasses import dataclass

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from resolver.curation import review
from resolver.review.site import Site


@dataclass(frozen=True, slots=True)
class LabelsFile:
    """JSON lines."""

    site: Site

    async def file(self, _request: Request) -> Response:
        """Decisions as labels, for evaluation and training."""
        lines = (
            orjson.dumps(label.as_object(), option=orjson.OPT_APPEND_NEWLINE)
            for label in review.labels(self.site.engine)
        )
        return StreamingResponse(
            lines,
            media_type="application/x-ndjson",
            headers={"Content-Disposition": 'attachment; filename="labels.jsonl"'},
        )
