"""POST /score and /v1/score, as vLLM has them: parse, call, render."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from winnow.api.fields import deadline_of
from winnow.api.http.auth import Caller, MeteredRoute, parts_of
from winnow.api.http.routes.compat.judging import Wish, judge_texts
from winnow.api.http.routes.search import PROBLEMS, JsonResponse
from winnow.api.schemas.compat.judged_by import cut_query
from winnow.api.schemas.compat.rerank import score_of
from winnow.api.schemas.compat.score import ScoreBody, ScoreResponse, score_response

router = APIRouter(responses=PROBLEMS, route_class=MeteredRoute, tags=["rerank"])


@router.post("/score", response_model=ScoreResponse, summary="Score pairs of query and text (path of vLLM's clients)")
@router.post("/v1/score", response_model=ScoreResponse, summary="Score pairs of query and text")
async def score(body: ScoreBody, caller: Caller, request: Request) -> Response:
    """Score one query with each text, or as many queries as texts, pair by pair. Texts keep their order."""
    deadline = deadline_of(None, parts_of(request).settings.timeout_ms)
    texts = body.texts
    scores = [0.0] * len(texts)
    model, tokens = "", 0
    for query, places in body.pairs.items():
        read, _ = cut_query(query)
        wish = Wish(query=read, texts=[texts[place] for place in places], judge=body.judge, wanted=len(places))
        judged = await judge_texts(request, caller, wish, deadline)
        for each in judged.shown:
            scores[places[each.candidate.chunk.number]] = score_of(each, raw=False)
        model, tokens = judged.ranking.judged_by, tokens + judged.ranking.tokens_read
    return JsonResponse(score_response(scores, model=model, tokens=tokens))
