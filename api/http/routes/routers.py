"""All routers, in the order of the description."""

from __future__ import annotations

from typing import Final

from winnow.api.http.routes.access import router as access
from winnow.api.http.routes.collections import router as corpus
from winnow.api.http.routes.compat.collections import router as searches
from winnow.api.http.routes.compat.dify import router as dify
from winnow.api.http.routes.compat.embeddings import router as embeddings
from winnow.api.http.routes.compat.files import router as files
from winnow.api.http.routes.compat.models import router as models
from winnow.api.http.routes.compat.rerank import router as rerank
from winnow.api.http.routes.compat.score import router as score
from winnow.api.http.routes.compat.vector_stores import router as vector_stores
from winnow.api.http.routes.generations import router as generations
from winnow.api.http.routes.health import router as health
from winnow.api.http.routes.instructions import router as instructions
from winnow.api.http.routes.judgments import router as judgments
from winnow.api.http.routes.mcp import router as mcp
from winnow.api.http.routes.quotas import limits_router as limits
from winnow.api.http.routes.quotas import usage_router as usage
from winnow.api.http.routes.search import router as answers
from winnow.api.http.routes.shadows import router as shadows
from winnow.api.http.routes.stability import router as stability
from winnow.api.http.routes.stability_alerts import router as stability_alerts
from winnow.api.http.routes.webhooks import router as webhooks

ROUTERS: Final = (
    answers,
    rerank,
    score,
    embeddings,
    models,
    searches,
    vector_stores,
    files,
    dify,
    mcp,
    judgments,
    corpus,
    shadows,
    instructions,
    generations,
    stability,
    stability_alerts,
    webhooks,
    usage,
    access,
    limits,
    health,
)
