"""Services on one catalog are told when they share no prefix cache of their model servers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from winnow.api.diagnostics.doctor import secret_found
from winnow.api.model_loading import secret_problem
from winnow.api.setting_values import FurtherReranker
from winnow.api.settings import Settings

CATALOG = "postgresql://winnow@db/winnow"
SERVED = replace(Settings(), catalog_url=CATALOG, rerank_url=("http://vllm:8000",))


@pytest.mark.parametrize(
    "settings",
    [
        SERVED,
        replace(Settings(), catalog_url=CATALOG, rewrite_url="http://chat:8000/v1"),
        replace(Settings(), catalog_url=CATALOG, rerank_also=(FurtherReranker(model="m", urls=("http://vllm:8000",)),)),
    ],
)
def test_a_missing_secret_is_named(settings: Settings) -> None:
    assert "WINNOW_CACHE_SECRET is not set" in (secret_problem(settings) or "")
    (finding,) = secret_found(settings)
    assert (finding.found, finding.problem) == (secret_problem(settings), None)


@pytest.mark.parametrize(
    "settings",
    [
        replace(SERVED, cache_secret="shared"),  # noqa: S106  it is no secret
        replace(SERVED, catalog_url=None),
        replace(SERVED, rerank_url=()),
        replace(SERVED, rerank_url=(), embed_url=("http://vllm:8001",)),  # embedders keep no prefix of a tenant
    ],
)
def test_where_it_is_set_or_changes_nothing_it_is_not_named(settings: Settings) -> None:
    assert secret_problem(settings) is None
    assert list(secret_found(settings)) == []
