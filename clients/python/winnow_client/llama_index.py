"""LlamaIndex: a retriever, and a node postprocessor that reranks.

pip install "winnow-client[llama-index]"
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from llama_index.core.base.llms.generic_utils import get_from_param_or_env
from llama_index.core.bridge.pydantic import Field, PrivateAttr, SecretStr
from llama_index.core.callbacks import CallbackManager
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import (
    MetadataMode,
    NodeRelationship,
    NodeWithScore,
    QueryBundle,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores.types import MetadataFilters

from winnow_client.adapters.connections import TIMEOUT, Connections
from winnow_client.adapters.filters import from_llama_index
from winnow_client.adapters.passages import (
    SCORES,
    Passage,
    instruction_of,
    passages_of,
    reranked,
    sent_documents,
    with_relevance,
)
from winnow_client.schemas import InstructionChoice, RerankOptions, RerankResponse, SearchOptions

KEY_VARIABLE = "WINNOW_API_KEY"

_dispatcher = get_dispatcher(__name__)


def _key(given: str | None) -> str | None:
    return get_from_param_or_env("key", given, KEY_VARIABLE, "") or None


class WinnowRetriever(BaseRetriever):
    """Searches a collection. `filters` are LlamaIndex's, or a mapping in the service's own grammar.

    A node's score is the one that ordered the answer. Its metadata: the document's own, `document_id`, `title`, `url`,
    `section`, `location`, and the scores: `relevance` of the reranker (None where nothing was reranked), `recall_score`
    of recall, and `degraded`, a reason or None. Scores are kept out of what a model reads.
    """

    def __init__(
        self,
        url: str,
        collection: str,
        *,
        key: str | None = None,
        top_k: int = 10,
        filters: MetadataFilters | Mapping[str, Any] | None = None,
        instruction: str | InstructionChoice | None = None,
        candidates: int | None = None,
        recall: Literal["dense", "lexical", "hybrid"] | None = None,
        rerank: bool | Literal["always"] = "always",
        min_relevance: float | Literal["calibrated"] | None = None,
        group_by_document: bool = False,
        on_rerank_failure: Literal["degrade", "error"] = "degrade",
        timeout: float | None = TIMEOUT,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        """`key` is by default that of WINNOW_API_KEY. Raises `ValueError` for a filter that winnow cannot apply."""
        super().__init__(callback_manager=callback_manager)
        self._connections = Connections(url, _key(key), timeout)
        self._collection = collection
        self._options: SearchOptions = {
            "top_k": top_k,
            "filter": from_llama_index(filters.model_dump() if isinstance(filters, MetadataFilters) else filters),
            "instruction": instruction,
            "candidates": candidates,
            "recall": recall,
            "rerank": rerank,
            "min_relevance": min_relevance,
            "group_by_document": group_by_document,
            "on_rerank_failure": on_rerank_failure,
        }

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        found = self._connections.client.search(query_bundle.query_str, collection=self._collection, **self._options)
        return _nodes(passages_of(found, has_instruction=self._options["instruction"] is not None))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        async with self._connections.new_async_client() as client:
            found = await client.search(query_bundle.query_str, collection=self._collection, **self._options)
        return _nodes(passages_of(found, has_instruction=self._options["instruction"] is not None))


class WinnowRerank(BaseNodePostprocessor):
    """Reranks nodes of any retriever. `rerank_fields` names metadata that the reranker reads before the text.

    Returns copies, best first: the `top_n` best, of those with `min_relevance`. Their score is the relevance, which is
    also in their metadata, and the score from before is `recall_score` there.
    """

    url: str
    key: SecretStr | None = Field(default=None, exclude=True, repr=False)
    top_n: int | None = None
    instruction: str | dict[str, Any] | None = None
    rerank_fields: list[str] | None = None
    min_relevance: float | None = None
    metadata_mode: MetadataMode = MetadataMode.NONE
    timeout: float | None = TIMEOUT

    _connections: Connections = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        key = None if self.key is None else self.key.get_secret_value()
        self._connections = Connections(self.url, _key(key), self.timeout)

    @classmethod
    def class_name(cls) -> str:
        return "WinnowRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _query_of(query_bundle)
        if not nodes:
            return []
        self._announce(query, nodes)
        answer = self._connections.client.rerank(query, self._sent(nodes), **self._options())
        return self._ordered(nodes, answer)

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _query_of(query_bundle)
        if not nodes:
            return []
        self._announce(query, nodes)
        async with self._connections.new_async_client() as client:
            answer = await client.rerank(query, self._sent(nodes), **self._options())
        return self._ordered(nodes, answer)

    def _announce(self, query: str, nodes: list[NodeWithScore]) -> None:
        top_n = len(nodes) if self.top_n is None else self.top_n
        _dispatcher.event(ReRankStartEvent(query=query, nodes=nodes, top_n=top_n, model_name="winnow"))

    def _sent(self, nodes: Sequence[NodeWithScore]) -> Sequence[str | Mapping[str, Any]]:
        texts = [each.node.get_content(metadata_mode=self.metadata_mode) for each in nodes]
        return sent_documents(texts, [each.node.metadata for each in nodes], self.rerank_fields)

    def _options(self) -> RerankOptions:
        return {
            "top_n": self.top_n,
            "instruction": instruction_of(self.instruction),
            "rerank_fields": self.rerank_fields,
            "return_documents": False,
        }

    def _ordered(self, nodes: Sequence[NodeWithScore], answer: RerankResponse) -> list[NodeWithScore]:
        kept = reranked(answer, min_relevance=self.min_relevance, has_instruction=self.instruction is not None)
        ordered = [_with_relevance(nodes[each.index], each.relevance) for each in kept]
        _dispatcher.event(ReRankEndEvent(nodes=ordered))
        return ordered


def _query_of(query_bundle: QueryBundle | None) -> str:
    if query_bundle is None:
        raise ValueError("reranking needs a query: pass query_str or query_bundle")
    return query_bundle.query_str


def _with_relevance(given: NodeWithScore, relevance: float) -> NodeWithScore:
    node = given.node.model_copy(
        update={
            "metadata": with_relevance(given.node.metadata, relevance, given.score),
            "excluded_llm_metadata_keys": _with_scores(given.node.excluded_llm_metadata_keys),
            "excluded_embed_metadata_keys": _with_scores(given.node.excluded_embed_metadata_keys),
        }
    )
    return NodeWithScore(node=node, score=relevance)


def _with_scores(keys: Sequence[str]) -> list[str]:
    return [*keys, *(key for key in SCORES if key not in keys)]


def _nodes(passages: Sequence[Passage]) -> list[NodeWithScore]:
    return [
        NodeWithScore(
            node=TextNode(
                id_=each.id,
                text=each.text,
                metadata=each.metadata,
                excluded_llm_metadata_keys=list(SCORES),
                excluded_embed_metadata_keys=list(SCORES),
                relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=each.metadata["document_id"])},
            ),
            score=each.score,
        )
        for each in passages
    ]
