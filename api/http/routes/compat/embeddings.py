"""POST /v1/embeddings, as OpenAI has it: parse, call, render."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from winnow.api.http.auth import Caller, MeteredRoute, bill_of, parts_of
from winnow.api.http.disconnect import while_connected
from winnow.api.http.routes.search import PROBLEMS, JsonResponse
from winnow.api.schemas.compat.embeddings import EmbeddingsBody, EmbeddingsResponse, embeddings_response, shortened
from winnow.retrieval.catalog.quotas import Usage
from winnow.retrieval.errors import InvalidRequest

_AT_ONCE: Final = 64  # texts; between two such pieces a caller who left is noticed, and others get their turn

router = APIRouter(responses=PROBLEMS, route_class=MeteredRoute, tags=["embeddings"])


@router.post("/v1/embeddings", response_model=EmbeddingsResponse, summary="Embed texts")
async def embed(body: EmbeddingsBody, caller: Caller, request: Request) -> Response:
    """Embed texts with the embedder of the service, as documents unless `input_type` is `query`."""
    parts, texts = parts_of(request), body.texts
    embedder = parts.embedding.embedder
    width = embedder.identity.dimension
    wanted = body.wanted_dimensions
    if wanted is not None and wanted > width:
        param = "output_dimension" if body.dimensions is None else "dimensions"
        raise InvalidRequest(f"{embedder.identity.name} has {width} dimensions", param=param)
    embed_some = embedder.embed_queries if body.input_type == "query" else embedder.embed_passages
    found, cut = [], []
    tokens = 0
    for start in range(0, len(texts), _AT_ONCE):
        piece = await while_connected(request, embed_some(texts[start : start + _AT_ONCE]))
        bill_of(request).add(Usage(tenant=caller.tenant, day=parts.usage.today(), embedded_tokens=piece.tokens))
        found.append(piece.vectors)
        cut += [start + place for place in piece.truncated]
        tokens += piece.tokens
    answer = partial(
        embeddings_response,
        model=embedder.identity.name,
        tokens=tokens,
        truncated=cut,
        as_base64=body.encoding_format == "base64",
    )
    return JsonResponse(await asyncio.to_thread(lambda: answer(shortened(np.concatenate(found), wanted))))
