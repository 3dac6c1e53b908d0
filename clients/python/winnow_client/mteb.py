"""mteb: evaluate a deployment through `mteb.evaluate`.

    pip install "winnow-client[mteb]"

`WinnowSearch` is the whole pipeline, recall and reranking, for tasks of retrieval and reranking. `WinnowEncoder` is the
embedder alone, for all tasks that compare embeddings.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Literal, Self

import numpy as np
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models.abs_encoder import AbsEncoder
from mteb.models.model_meta import ModelMeta, ScoringFunction
from mteb.types import PromptType
from numpy.typing import NDArray

from winnow_client.client import Client
from winnow_client.schemas import InstructionChoice, SearchResult

TOP_K_MAX: Final = 200  # results of one search; mteb asks for 1,000
RERANKED_MAX: Final = 1_000  # documents of one request
EMBEDDED_MAX: Final = 64  # texts of one request
QUERY_CHARACTERS_MAX: Final = 8_192
TIMEOUT: Final = 300.0  # seconds, of one call
_NAME_CHARACTERS_MAX: Final = 50  # of a collection's, before the part that makes it unique

_log: Final = logging.getLogger("winnow_client")


class WinnowSearch:
    """Searches a deployment as its users do.

    Each corpus is written to a collection of its own, which is deleted with the next corpus and by `close`. Reranking
    tasks write nothing: the service reranks the documents that the task names. Instructions that a task has for its
    queries go along with them; `instruction` is for tasks that have none. A degraded answer fails the evaluation.

    mteb keeps results under the models' names and these arguments. Name a `revision`, or evaluate with
    `overwrite_strategy="always"`, where something else of the deployment may have changed.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        rerank: bool = True,
        recall: Literal["dense", "lexical", "hybrid"] | None = None,
        candidates: int | None = None,
        instruction: str | InstructionChoice | None = None,
        revision: str | None = None,
        threads: int = 2,
        timeout: float | None = TIMEOUT,
    ) -> None:
        """`threads` is the number of queries at a time. Asks the service for its models; raises `WinnowError`."""
        self._client = Client(url, key=key, timeout=timeout)
        self._rerank: Literal["always", False] = "always" if rerank else False
        self._recall = recall
        self._candidates = candidates
        self._instruction = instruction
        self._threads = threads
        self._corpus: dict[str, Mapping[str, Any]] = {}
        self._task = ""
        self._collection: str | None = None
        arguments = {"rerank": rerank, "recall": recall, "candidates": candidates, "instruction": instruction}
        self.mteb_model_meta = _meta(
            self._client,
            revision,
            arguments={key: value for key, value in arguments.items() if value is not None},
            with_reranker=rerank,
        )

    def index(
        self,
        corpus: Iterable[Mapping[str, Any]],
        *,
        task_metadata: TaskMetadata,
        hf_split: str,
        hf_subset: str,
        encode_kwargs: Mapping[str, Any],  # noqa: ARG002  the service batches by itself
        num_proc: int | None = None,  # noqa: ARG002
    ) -> None:
        """Take a corpus. It is written when a search needs it: a reranking task never does."""
        self._delete_collection()
        self._corpus = {str(row["id"]): row for row in corpus}
        self._task = f"{task_metadata.name}-{hf_subset}-{hf_split}"

    def search(
        self,
        queries: Iterable[Mapping[str, Any]],
        *,
        task_metadata: TaskMetadata,  # noqa: ARG002
        hf_split: str,  # noqa: ARG002
        hf_subset: str,  # noqa: ARG002
        top_k: int,
        encode_kwargs: Mapping[str, Any],  # noqa: ARG002
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        num_proc: int | None = None,  # noqa: ARG002
    ) -> dict[str, dict[str, float]]:
        """Return the scores by query and document. Raises `WinnowError`."""
        asked = [(str(row["id"]), row) for row in queries]
        if top_ranked is not None:
            return {id_: self._rerank_documents(row, top_ranked.get(id_, ())) for id_, row in asked}
        if top_k > TOP_K_MAX:
            _log.warning("A search returns at most %d documents, not %d: measures beyond are lower", TOP_K_MAX, top_k)
        collection = self._collection or self._write()
        with ThreadPoolExecutor(self._threads) as pool:
            found = pool.map(lambda each: self._search(collection, each[1], min(top_k, TOP_K_MAX)), asked)
            return {id_: scores for (id_, _), scores in zip(asked, found, strict=True)}

    def close(self) -> None:
        """Delete the collection of the last corpus, and close the connections."""
        self._delete_collection()
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self) -> str:
        name = re.sub(r"[^a-z0-9_-]+", "-", f"mteb-{self._task}".lower())[:_NAME_CHARACTERS_MAX]
        collection = f"{name}-{secrets.token_hex(4)}"
        self._client.create_collection(collection)
        self._collection = collection
        documents = (
            {"id": id_, "title": row.get("title") or "", "text": row["text"]} for id_, row in self._corpus.items()
        )
        written = self._client.write(collection, documents)
        if written.rejected:
            first = written.rejected[0]
            _log.warning("%d documents were rejected, the first: %s", written.rejected_count, first["reason"])
        return collection

    def _delete_collection(self) -> None:
        if self._collection is not None:
            self._client.delete_collection(self._collection)
            self._collection = None

    def _search(self, collection: str, row: Mapping[str, Any], top_k: int) -> dict[str, float]:
        found = self._client.search(
            _query_of(row),
            collection=collection,
            top_k=top_k,
            rerank=self._rerank,
            recall=self._recall,
            candidates=self._candidates,
            instruction=row.get("instruction") or self._instruction,
            group_by_document=True,
            on_rerank_failure="error",
        )
        return _falling_scores(found["results"])

    def _rerank_documents(self, row: Mapping[str, Any], ids: Sequence[str]) -> dict[str, float]:
        scores: dict[str, float] = {}
        for start in range(0, len(ids), RERANKED_MAX):
            some = ids[start : start + RERANKED_MAX]
            answer = self._client.rerank(
                _query_of(row),
                [_text_of(self._corpus[each]) for each in some],
                instruction=row.get("instruction") or self._instruction,
                return_documents=False,
            )
            scores |= {some[each["index"]]: each["relevance_score"] for each in answer["results"]}
        return scores


class WinnowEncoder(AbsEncoder):
    """The embedder of a deployment: queries with the embedder's task before them, everything else as documents."""

    def __init__(
        self, url: str, *, key: str | None = None, revision: str | None = None, timeout: float | None = TIMEOUT
    ) -> None:
        """Asks the service for its models; raises `WinnowError`."""
        self._client = Client(url, key=key, timeout=timeout)
        self.mteb_model_meta = _meta(self._client, revision, arguments={}, with_reranker=False)

    def encode(
        self,
        inputs: Iterable[Mapping[str, Any]],
        *,
        task_metadata: TaskMetadata,  # noqa: ARG002  the service knows its embedder's task
        hf_split: str,  # noqa: ARG002
        hf_subset: str,  # noqa: ARG002
        prompt_type: PromptType | None = None,
        **kwargs: Any,  # noqa: ARG002  batch sizes and progress bars
    ) -> NDArray[np.float32]:
        """Return one vector per text. Raises `WinnowError`."""
        texts = [str(text) for batch in inputs for text in batch["text"]]
        input_type: Literal["query", "document"] = "query" if prompt_type == PromptType.query else "document"
        vectors = [
            datum["embedding"]
            for some in _cut(texts, EMBEDDED_MAX)
            for datum in self._client.embed(some, input_type=input_type)["data"]
        ]
        return np.asarray(vectors, dtype=np.float32)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _meta(client: Client, revision: str | None, *, arguments: Mapping[str, Any], with_reranker: bool) -> ModelMeta:
    """Return what mteb writes into its results. The service lists its embedder first, then its rerankers."""
    names = [each["id"] for each in client.models()["data"]]
    return ModelMeta.create_empty(
        overwrites={
            "name": f"winnow/{'+'.join(names[: 2 if with_reranker else 1])}",
            "revision": revision,
            "similarity_fn_name": ScoringFunction.COSINE,
            "use_instructions": True,
            "experiment_kwargs": dict(arguments) or None,
        }
    )


def _query_of(row: Mapping[str, Any]) -> str:
    """Return the query; of a conversation all turns, as mteb's own wrappers do."""
    given = row["text"]
    turns = (
        [given] if isinstance(given, str) else [each if isinstance(each, str) else each["content"] for each in given]
    )
    return "; ".join(turns)[:QUERY_CHARACTERS_MAX]


def _text_of(row: Mapping[str, Any]) -> str:
    return f"{row.get('title') or ''}\n{row['text']}".strip()


def _falling_scores(results: Sequence[SearchResult]) -> dict[str, float]:
    """Return scores that sort as the answer does, also where a result has none or one of another scale.

    They are of 32 bits, as in trec_eval.
    """
    scores: dict[str, float] = {}
    last = np.float32(np.inf)
    for result in results:
        below = np.nextafter(last, np.float32(-np.inf))
        last = below if result["score"] is None else min(np.float32(result["score"]), below)
        scores[result["document_id"]] = float(last)
    return scores


def _cut(texts: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (texts[start : start + size] for start in range(0, len(texts), size))
