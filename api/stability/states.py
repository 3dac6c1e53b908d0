"""What an answer was made with: the state that is recorded with it, and which factors differ between two states."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from winnow import __version__
from winnow.api.library.instructions import AppliedInstruction
from winnow.api.search.records import Answer, Question
from winnow.api.search.two_stage import Prepared
from winnow.rerank.reranker import Ranked
from winnow.rerank.stopping_rule import Depth
from winnow.retrieval.catalog.sql.stability import query_sha256
from winnow.retrieval.catalog.stability import PLACES_MAX, Answered, Factor, Place, RankingState, Trigger
from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import RerankUnavailable
from winnow.retrieval.index.planner import Recipe
from winnow.retrieval.search.recall import Served
from winnow.retrieval.store.contract import StoreSnapshot

PASSAGE_DIGITS: Final = 12  # of a passage's digest; only passages of the same chunk are compared
REVISION_CHARACTERS: Final = 19  # as shown elsewhere
EXACT: Final = "exact"
NOT_NAMED: Final = "a text of the request"


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """The identities of the loaded models, and the defaults of searches."""

    embedder: EmbedderIdentity
    embedder_runs_on: str
    rerankers: Mapping[str, tuple[str, str]]  # revision and where it runs, by name
    candidates: int
    depth: Depth

    def reranker(self, name: str | None) -> str | None:
        """The identity of a reranker by its name; None if it is not loaded."""
        if name is None or name not in self.rerankers:
            return None
        return f"{name} {self.rerankers[name][0][:REVISION_CHARACTERS]}".strip()

    @property
    def embedding(self) -> str:
        """The identity of the embedder."""
        identity = self.embedder
        revision = identity.revision[:REVISION_CHARACTERS]
        return f"{identity.name} {revision}, {identity.dimension} dimensions, {identity.prompt_format}"

    def embeds_like(self, state: RankingState) -> bool:
        return self.embedding == state.embedder

    def runtime(self, reranker: str | None) -> str:
        """What computes the scores of this reranker, and the vectors of queries."""
        parts = [self.embedder_runs_on]
        if reranker is not None and reranker in self.rerankers:
            parts.append(self.rerankers[reranker][1])
        return f"{', '.join(parts)}; winnow {__version__}, {platform.machine()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """What would answer now, as far as it is known without a search. Its changes start replays."""

    generation: str | None
    embedder: str
    reranker: str | None
    instruction: str  # NAME@VERSION: its text may have the date in it
    runtime: str

    @classmethod
    def of(cls, state: RankingState) -> Present:
        return cls(
            generation=state.generation,
            embedder=state.embedder,
            reranker=state.reranker,
            instruction=state.instruction,
            runtime=state.runtime,
        )

    @classmethod
    def by(cls, prepared: Prepared, generation: str | None, models: Models) -> Present:
        reranker = prepared.reranker
        name = None if isinstance(reranker, RerankUnavailable) else reranker.name
        return cls(
            generation=generation,
            embedder=models.embedding,
            reranker=models.reranker(name),
            instruction=_said(prepared.instruction),
            runtime=models.runtime(name),
        )

    def change(self, before: Present) -> Trigger | None:
        """Return the first difference in the order of the pipeline; None if there is none."""
        if (self.embedder, self.reranker) != (before.embedder, before.reranker):
            return Trigger.MODEL
        if self.instruction != before.instruction:
            return Trigger.INSTRUCTION
        if self.generation != before.generation:
            return Trigger.PUBLICATION
        return Trigger.RUNTIME if self.runtime != before.runtime else None


def state_of(question: Question, answer: Answer, models: Models, prepared: Prepared | None = None) -> RankingState:
    """Return the state behind an answer; with what was prepared for it, also the collection's settings."""
    served = answer.recalled.served
    return RankingState(
        store_version=served.store_version,
        generation=served.generation,
        index=_index(served),
        embedder=models.embedding,
        reranker=models.reranker(answer.reranker),
        instruction=_said(answer.instruction),
        instruction_sha256=instruction_sha256(answer.instruction),
        recall=answer.recalled.mode,
        candidates=question.candidates or max(question.top_k, models.candidates),
        settings=_settings(question, answer, models, prepared),
        runtime=models.runtime(answer.reranker),
    )


def instruction_sha256(instruction: AppliedInstruction) -> str:
    """Digest of the two texts that the models read."""
    return query_sha256(f"{instruction.text}\0{instruction.embedding_task}")


def with_documents(state: RankingState, snapshot: StoreSnapshot) -> RankingState:
    """Add the digest of all documents. Reads an id and a hash for each. Blocks."""
    digest = hashlib.sha256()
    for document_id, content in sorted(snapshot.content_hashes().items()):
        digest.update(f"{document_id}\0{content}\n".encode("utf-8", "surrogatepass"))
    return replace(state, documents=digest.hexdigest())


def answered_of(query: str, answer: Answer) -> Answered:
    """Return the first places of an answer, as they are recorded."""
    shown = [result.best for result in answer.results]
    return answered(query, shown, degraded=None if answer.degraded is None else answer.degraded.reason)


def answered(query: str, ranked: Sequence[Ranked], *, degraded: str | None = None) -> Answered:
    """Return the first places of a ranking, as they are recorded."""
    return Answered(query_sha256=query_sha256(query), places=places_of(ranked), degraded=degraded)


def places_of(ranked: Iterable[Ranked]) -> tuple[Place, ...]:
    return tuple(_place(each) for _, each in zip(range(PLACES_MAX), ranked, strict=False))


def changed_factors(before: RankingState, after: RankingState) -> tuple[Factor, ...]:
    """Return the factors in which two states differ, in the order of the pipeline."""
    are_known = bool(before.documents and after.documents)
    differs = {
        Factor.DOCUMENTS: before.documents != after.documents
        if are_known
        else before.store_version != after.store_version,
        Factor.MODEL: (before.embedder, before.reranker) != (after.embedder, after.reranker),
        Factor.INSTRUCTION: before.instruction_sha256 != after.instruction_sha256,
        Factor.INDEX: before.index != after.index,
        Factor.SETTINGS: (before.recall, before.candidates, before.settings)
        != (after.recall, after.candidates, after.settings),
        Factor.NUMERICS: before.runtime != after.runtime,
    }
    if not any(differs.values()) and before.store_version != after.store_version:
        differs[Factor.INDEX] = True  # the same documents in another version of the store: its word index was rebuilt
    return tuple(factor for factor, is_other in differs.items() if is_other)


def describe(factor: Factor, state: RankingState) -> str:
    """Say what a factor is in a state."""
    match factor:
        case Factor.DOCUMENTS:
            return f"store version {state.store_version}"
        case Factor.MODEL:
            return f"{state.reranker or 'no reranker'}; {state.embedder}"
        case Factor.INSTRUCTION:
            return f"{state.instruction} ({state.instruction_sha256[:8]})"
        case Factor.INDEX:
            return f"{state.index}, generation {state.generation or 'none'}, store version {state.store_version}"
        case Factor.SETTINGS:
            return f"{state.recall} recall, {state.candidates} candidates, {state.settings}"
        case Factor.NUMERICS:
            return state.runtime


def _place(ranked: Ranked) -> Place:
    chunk = ranked.candidate.chunk
    return Place(
        document_id=chunk.document_id,
        ordinal=chunk.ordinal,
        score=ranked.score,
        relevance=ranked.relevance,
        passage=query_sha256(ranked.fields + chunk.passage)[:PASSAGE_DIGITS],
    )


def _said(instruction: AppliedInstruction) -> str:
    return instruction.said if instruction.name else NOT_NAMED


def _index(served: Served) -> str:
    """An exact index gives the same hits whatever its generation; an approximate one is only like itself."""
    seat = "" if served.seat.device == "cpu" else f" on {served.seat.device}"
    if served.index is None or served.index.recipe is Recipe.EXACT:
        return f"{EXACT}{seat}"
    parameters = " ".join(f"{name}={value}" for name, value in sorted(served.index.parameters.items()))
    return f"{served.index.recipe} {parameters} of {served.generation}{seat}"


def _settings(question: Question, answer: Answer, models: Models, prepared: Prepared | None) -> str:
    said = [f"depth {question.depth or models.depth}"]
    if answer.fields.names:
        said.append(f"fields {' '.join(answer.fields.names)} in {answer.fields.tokens_max} tokens")
    if prepared is not None and prepared.demotes_echo:
        said.append("query echo demoted")
    if prepared is not None and prepared.diversity.is_on:
        said.append(f"diversity {prepared.diversity}")
    return ", ".join(said)
