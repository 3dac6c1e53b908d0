"""POST /v1/rerank, /v2/rerank and /rerank: parse, call, render."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import Tag
from starlette.responses import Response

from winnow.api.fields import deadline_of
from winnow.api.http.auth import Caller, MeteredRoute, parts_of
from winnow.api.http.problem_response import Dialect
from winnow.api.http.routes.compat.judging import Judged, Wish, judge_texts
from winnow.api.http.routes.search import PROBLEMS, JsonResponse, ProblemBody
from winnow.api.schemas.compat.judged_by import cut_query
from winnow.api.schemas.compat.rerank import RerankBody, RerankResponse, rerank_response
from winnow.api.schemas.compat.tei import (
    TextsBody,
    TextScore,
    TextsOrDocuments,
    TextsProblem,
    texts_response,
)
from winnow.api.tenancy.access import Principal

router = APIRouter(responses=PROBLEMS, route_class=MeteredRoute, tags=["rerank"])

EitherBody = Annotated[Annotated[RerankBody, Tag("Documents")] | Annotated[TextsBody, Tag("Texts")], TextsOrDocuments]


@router.post("/v1/rerank", response_model=RerankResponse, summary="Rerank your own documents")
@router.post(
    "/v2/rerank", response_model=RerankResponse, summary="Rerank your own documents (path of Cohere's clients)"
)
async def rerank(body: RerankBody, caller: Caller, request: Request) -> Response:
    """Rerank documents in the dialects of Cohere, Jina, Voyage, Infinity and vLLM. 503 if the reranker fails."""
    return await _documents(body, caller, request)


@router.post(
    "/rerank",
    response_model=RerankResponse | list[TextScore],
    responses={
        status: {"description": said["description"], "model": ProblemBody | TextsProblem}
        for status, said in PROBLEMS.items()
    },
    summary="Rerank your own documents (path of TEI's and other clients)",
)
async def rerank_at_root(body: EitherBody, caller: Caller, request: Request) -> Response:
    """With `documents` the same as `/v1/rerank`; with `texts` in the dialect of Text Embeddings Inference."""
    if isinstance(body, RerankBody):
        return await _documents(body, caller, request)
    request.state.dialect = Dialect.TEI
    query, _ = cut_query(body.query)
    wish = Wish(query=query, texts=body.texts, judge=body.judge, wanted=len(body.texts))
    judged = await judge_texts(request, caller, wish, deadline_of(None, parts_of(request).settings.timeout_ms))
    return JsonResponse(texts_response(judged.shown, raw=body.raw_scores is True, with_text=body.return_text is True))


async def _documents(body: RerankBody, caller: Principal, request: Request) -> Response:
    query, warning = cut_query(body.query)
    wish = Wish(
        query=query,
        texts=body.texts,
        judge=body.judge,
        wanted=body.wanted,
        fields=await asyncio.to_thread(body.field_lines),
        diversity=body.diversity,
        highlight=body.highlight_wish,
    )
    deadline = deadline_of(body.timeout_ms, parts_of(request).settings.timeout_ms)
    return JsonResponse(_response(body, await judge_texts(request, caller, wish, deadline), warning))


def _response(body: RerankBody, judged: Judged, warning: str | None) -> RerankResponse:
    return rerank_response(
        judged.ranking,
        shown=judged.shown,
        with_texts=body.return_documents is not False,
        diversified=judged.diversified,
        highlighted=judged.highlighted,
        as_spans=body.wants_spans,
        raw=body.raw_scores is True,
        instruction=judged.instruction,
        cut_query=warning,
    )
