"""Haystack: a retriever and a ranker.

pip install "winnow-client[haystack]"
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Self

from haystack import Document, component, default_from_dict, default_to_dict
from haystack.utils import Secret

from winnow_client.adapters.connections import TIMEOUT, Connections
from winnow_client.adapters.filters import from_haystack
from winnow_client.adapters.passages import instruction_of, passages_of, reranked, sent_documents, with_relevance
from winnow_client.schemas import RerankOptions, RerankResponse, SearchOptions, SearchResponse

KEY: Secret = Secret.from_env_var("WINNOW_API_KEY", strict=False)


def _secret(key: Secret | None) -> str | None:
    return None if key is None else key.resolve_value()


@component
class WinnowRetriever:
    """Searches a collection. `filters` are Haystack's, or a mapping in the service's own grammar.

    A document's score is the one that ordered the answer. Its meta: its own, `document_id`, `title`, `url`, `section`,
    `location`, and the scores: `relevance` of the reranker (None where nothing was reranked), `recall_score` of recall,
    and `degraded`, a reason or None.
    """

    def __init__(
        self,
        url: str,
        collection: str,
        *,
        key: Secret | None = KEY,
        top_k: int = 10,
        filters: dict[str, Any] | None = None,
        instruction: str | dict[str, Any] | None = None,
        candidates: int | None = None,
        recall: Literal["dense", "lexical", "hybrid"] | None = None,
        rerank: bool | Literal["always"] = "always",
        min_relevance: float | Literal["calibrated"] | None = None,
        group_by_document: bool = False,
        on_rerank_failure: Literal["degrade", "error"] = "degrade",
        timeout: float | None = TIMEOUT,
    ) -> None:
        """Raises `ValueError` for an address that is none, or a filter that winnow cannot apply."""
        from_haystack(filters)
        self.url = url
        self.collection = collection
        self.key = key
        self.top_k = top_k
        self.filters = filters
        self.instruction = instruction
        self.candidates = candidates
        self.recall = recall
        self.rerank = rerank
        self.min_relevance = min_relevance
        self.group_by_document = group_by_document
        self.on_rerank_failure = on_rerank_failure
        self.timeout = timeout
        self._connections = Connections(url, _secret(key), timeout)

    def to_dict(self) -> dict[str, Any]:
        """Return its configuration. Raises `ValueError` for a key that was given as a text, to keep it out of files."""
        return default_to_dict(
            self,
            url=self.url,
            collection=self.collection,
            key=self.key,
            top_k=self.top_k,
            filters=self.filters,
            instruction=self.instruction,
            candidates=self.candidates,
            recall=self.recall,
            rerank=self.rerank,
            min_relevance=self.min_relevance,
            group_by_document=self.group_by_document,
            on_rerank_failure=self.on_rerank_failure,
            timeout=self.timeout,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Make it from a configuration."""
        return default_from_dict(cls, data)

    @component.output_types(documents=list[Document])
    def run(
        self,
        query: str,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        instruction: str | dict[str, Any] | None = None,
    ) -> dict[str, list[Document]]:
        """Search; what is given here replaces what was given at first."""
        options = self._options(filters, top_k, instruction)
        found = self._connections.client.search(query, collection=self.collection, **options)
        return {"documents": _documents(found, options)}

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query: str,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        instruction: str | dict[str, Any] | None = None,
    ) -> dict[str, list[Document]]:
        """Search without blocking."""
        options = self._options(filters, top_k, instruction)
        async with self._connections.new_async_client() as client:
            found = await client.search(query, collection=self.collection, **options)
        return {"documents": _documents(found, options)}

    def _options(
        self, filters: dict[str, Any] | None, top_k: int | None, instruction: str | dict[str, Any] | None
    ) -> SearchOptions:
        return {
            "top_k": self.top_k if top_k is None else top_k,
            "filter": from_haystack(self.filters if filters is None else filters),
            "instruction": instruction_of(self.instruction if instruction is None else instruction),
            "candidates": self.candidates,
            "recall": self.recall,
            "rerank": self.rerank,
            "min_relevance": self.min_relevance,
            "group_by_document": self.group_by_document,
            "on_rerank_failure": self.on_rerank_failure,
        }


@component
class WinnowRanker:
    """Reranks documents of any retriever. `rerank_fields` names meta that the reranker reads before the text.

    Returns copies, best first: the `top_k` best, of those with `min_relevance`. Their score is the relevance, which is
    also in their meta, and the score from before is `recall_score` there.
    """

    def __init__(
        self,
        url: str,
        *,
        key: Secret | None = KEY,
        top_k: int | None = None,
        instruction: str | dict[str, Any] | None = None,
        rerank_fields: list[str] | None = None,
        min_relevance: float | None = None,
        timeout: float | None = TIMEOUT,
    ) -> None:
        """Raises `ValueError` for an address that is none."""
        self.url = url
        self.key = key
        self.top_k = top_k
        self.instruction = instruction
        self.rerank_fields = rerank_fields
        self.min_relevance = min_relevance
        self.timeout = timeout
        self._connections = Connections(url, _secret(key), timeout)

    def to_dict(self) -> dict[str, Any]:
        """Return its configuration. Raises `ValueError` for a key that was given as a text, to keep it out of files."""
        return default_to_dict(
            self,
            url=self.url,
            key=self.key,
            top_k=self.top_k,
            instruction=self.instruction,
            rerank_fields=self.rerank_fields,
            min_relevance=self.min_relevance,
            timeout=self.timeout,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Make it from a configuration."""
        return default_from_dict(cls, data)

    @component.output_types(documents=list[Document])
    def run(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        instruction: str | dict[str, Any] | None = None,
    ) -> dict[str, list[Document]]:
        """Rerank; what is given here replaces what was given at first."""
        if not documents:
            return {"documents": []}
        options = self._options(top_k, instruction)
        answer = self._connections.client.rerank(query, self._sent(documents), **options)
        return {"documents": self._ordered(documents, answer, options)}

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        instruction: str | dict[str, Any] | None = None,
    ) -> dict[str, list[Document]]:
        """Rerank without blocking."""
        if not documents:
            return {"documents": []}
        options = self._options(top_k, instruction)
        async with self._connections.new_async_client() as client:
            answer = await client.rerank(query, self._sent(documents), **options)
        return {"documents": self._ordered(documents, answer, options)}

    def _sent(self, documents: Sequence[Document]) -> Sequence[str | Mapping[str, Any]]:
        texts = [each.content or "" for each in documents]
        return sent_documents(texts, [each.meta for each in documents], self.rerank_fields)

    def _options(self, top_k: int | None, instruction: str | dict[str, Any] | None) -> RerankOptions:
        return {
            "top_n": self.top_k if top_k is None else top_k,
            "instruction": instruction_of(self.instruction if instruction is None else instruction),
            "rerank_fields": self.rerank_fields,
            "return_documents": False,
        }

    def _ordered(self, documents: Sequence[Document], answer: RerankResponse, options: RerankOptions) -> list[Document]:
        kept = reranked(answer, min_relevance=self.min_relevance, has_instruction=options["instruction"] is not None)
        return [_with_relevance(documents[each.index], each.relevance) for each in kept]


def _documents(found: SearchResponse, options: SearchOptions) -> list[Document]:
    passages = passages_of(found, has_instruction=options["instruction"] is not None)
    return [Document(id=each.id, content=each.text, score=each.score, meta=each.metadata) for each in passages]


def _with_relevance(given: Document, relevance: float) -> Document:
    return replace(given, score=relevance, meta=with_relevance(given.meta, relevance, given.score))
