"""LangChain: a retriever, and a document compressor that reranks.

pip install "winnow-client[langchain]"
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
    Callbacks,
)
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.utils import secret_from_env
from pydantic import Field, PrivateAttr, SecretStr

from winnow_client.adapters.connections import TIMEOUT, Connections
from winnow_client.adapters.passages import (
    Passage,
    instruction_of,
    passages_of,
    reranked,
    sent_documents,
    with_relevance,
)
from winnow_client.schemas import RerankOptions, RerankResponse, SearchOptions

KEY_VARIABLE = "WINNOW_API_KEY"


def _secret(key: SecretStr | None) -> str | None:
    return None if key is None else key.get_secret_value()


class WinnowRetriever(BaseRetriever):
    """Searches a collection.

    Metadata of a document: its own, `document_id`, `title`, `url`, `section`, `location`, and the scores: `relevance`
    of the reranker (None where nothing was reranked), `recall_score` of recall, and `degraded`, a reason or None.
    `invoke` takes `top_k`, `filter` and `instruction` for one call.
    """

    url: str
    collection: str
    key: SecretStr | None = Field(default_factory=secret_from_env(KEY_VARIABLE, default=None))
    top_k: int = 10
    filter: dict[str, Any] | None = None
    instruction: str | dict[str, Any] | None = None
    candidates: int | None = None
    recall: Literal["dense", "lexical", "hybrid"] | None = None
    rerank: bool | Literal["always"] = "always"
    min_relevance: float | Literal["calibrated"] | None = None
    group_by_document: bool = False
    on_rerank_failure: Literal["degrade", "error"] = "degrade"
    timeout: float | None = TIMEOUT

    _connections: Connections = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        self._connections = Connections(self.url, _secret(self.key), self.timeout)

    @classmethod
    def is_lc_serializable(cls) -> bool:
        return True

    @property
    def lc_secrets(self) -> dict[str, str]:
        return {"key": KEY_VARIABLE}

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002  the base class reports the run
        top_k: int | None = None,
        filter: Mapping[str, Any] | None = None,  # noqa: A002  the service's word
        instruction: str | Mapping[str, Any] | None = None,
    ) -> list[Document]:
        options = self._options(top_k, filter, instruction)
        found = self._connections.client.search(query, collection=self.collection, **options)
        return _documents(passages_of(found, has_instruction=options["instruction"] is not None))

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,  # noqa: ARG002
        top_k: int | None = None,
        filter: Mapping[str, Any] | None = None,  # noqa: A002
        instruction: str | Mapping[str, Any] | None = None,
    ) -> list[Document]:
        options = self._options(top_k, filter, instruction)
        async with self._connections.new_async_client() as client:
            found = await client.search(query, collection=self.collection, **options)
        return _documents(passages_of(found, has_instruction=options["instruction"] is not None))

    def _options(
        self,
        top_k: int | None,
        filter_: Mapping[str, Any] | None,
        instruction: str | Mapping[str, Any] | None,
    ) -> SearchOptions:
        return {
            "top_k": self.top_k if top_k is None else top_k,
            "filter": self.filter if filter_ is None else filter_,
            "instruction": instruction_of(self.instruction if instruction is None else instruction),
            "candidates": self.candidates,
            "recall": self.recall,
            "rerank": self.rerank,
            "min_relevance": self.min_relevance,
            "group_by_document": self.group_by_document,
            "on_rerank_failure": self.on_rerank_failure,
        }


class WinnowReranker(BaseDocumentCompressor):
    """Reranks documents of any retriever. `rerank_fields` names metadata that the reranker reads before the text.

    Returns copies with `relevance` in their metadata, best first: the `top_n` best, of those with `min_relevance`.
    """

    url: str
    key: SecretStr | None = Field(default_factory=secret_from_env(KEY_VARIABLE, default=None))
    top_n: int | None = None
    instruction: str | dict[str, Any] | None = None
    rerank_fields: list[str] | None = None
    min_relevance: float | None = None
    timeout: float | None = TIMEOUT

    _connections: Connections = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        self._connections = Connections(self.url, _secret(self.key), self.timeout)

    def compress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,  # noqa: ARG002  nothing below reports to them
    ) -> Sequence[Document]:
        if not documents:
            return []
        return self._ordered(
            documents, self._connections.client.rerank(query, self._sent(documents), **self._options())
        )

    async def acompress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,  # noqa: ARG002
    ) -> Sequence[Document]:
        if not documents:
            return []
        async with self._connections.new_async_client() as client:
            answer = await client.rerank(query, self._sent(documents), **self._options())
        return self._ordered(documents, answer)

    def _sent(self, documents: Sequence[Document]) -> Sequence[str | Mapping[str, Any]]:
        texts = [each.page_content for each in documents]
        return sent_documents(texts, [each.metadata for each in documents], self.rerank_fields)

    def _options(self) -> RerankOptions:
        return {
            "top_n": self.top_n,
            "instruction": instruction_of(self.instruction),
            "rerank_fields": self.rerank_fields,
            "return_documents": False,
        }

    def _ordered(self, documents: Sequence[Document], answer: RerankResponse) -> list[Document]:
        kept = reranked(answer, min_relevance=self.min_relevance, has_instruction=self.instruction is not None)
        return [
            Document(
                id=documents[each.index].id,
                page_content=documents[each.index].page_content,
                metadata=with_relevance(documents[each.index].metadata, each.relevance, None),
            )
            for each in kept
        ]


def _documents(passages: Sequence[Passage]) -> list[Document]:
    return [Document(id=each.id, page_content=each.text, metadata=each.metadata) for each in passages]
