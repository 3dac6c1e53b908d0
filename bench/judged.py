"""Records the score of each candidate of each query, so that rules can be replayed on it.

A set is a collection of `shared/datasets` with the default instruction, or data/corpus with each of its instructions.
Reranking takes minutes; the record is one JSON file per set, named after what determines it.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, TypeAlias

import orjson

from bench.instructions import CORPUS, read_preferences
from winnow.api.assemble import Services, assemble_indexing
from winnow.api.cli.evaluation.cases import SAMPLE_SEED, judged_cases
from winnow.api.collections.open_collections import OpenCollection
from winnow.indexer.progress import NoProgress
from winnow.indexer.readers.beir import read_qrels, read_queries
from winnow.indexer.readers.open_corpus import open_corpus
from winnow.rerank.instruction import DEFAULT_INSTRUCTION
from winnow.rerank.prompt import PromptBuilder
from winnow.rerank.reranker import RankedBy
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.model.config import QwenConfig
from winnow.retrieval.model.folder import ModelFolder
from winnow.retrieval.search.recall import RecallRequest
from winnow.retrieval.tenancy import DEFAULT_TENANT

BY_INSTRUCTION: Final = "by-instruction"  # the set that is data/corpus with its own instructions

Grades: TypeAlias = Mapping[str, int]  # by document id


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One query with one instruction, and the documents that answer it."""

    query: str
    instruction: str
    grades: Grades


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedCandidate:
    """A candidate and its scores."""

    document_id: str
    similarity: float
    relevance: float
    score: float  # the relevance, or the blend
    tokens: int  # of its own part of the prompt
    passage: int  # equal passages have equal numbers: they are scored once


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JudgedQuery:
    """All candidates of a query, in recall's order."""

    query: str
    grades: Grades
    shared_tokens: int  # of the prefix that its candidates' prompts share
    ranked_by: RankedBy
    candidates: tuple[JudgedCandidate, ...]


def asked_of_collection(folder: Path, *, queries: int) -> list[Asked]:
    """The sample that `winnow eval --queries N` uses."""
    judgments = read_qrels(folder)
    cases = judged_cases(read_queries(folder), judgments, sample=queries)
    return [Asked(query=case.text, instruction=DEFAULT_INSTRUCTION, grades=judgments[case.id]) for case in cases]


def asked_by_instruction(*, queries: int) -> list[Asked]:
    """A fixed sample of the queries of data/corpus, each with an instruction."""
    preferences, texts = read_preferences(CORPUS), read_queries(CORPUS)
    grades: dict[tuple[str, str], dict[str, int]] = {}
    for line in (CORPUS / "qrels" / "by-instruction.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        query, instruction, document, grade = line.split("\t")
        grades.setdefault((query, instruction), {})[document] = int(grade)
    cases = sorted(random.Random(SAMPLE_SEED).sample(sorted(grades), min(queries, len(grades))))
    return [
        Asked(query=texts[query], instruction=preferences[instruction].text, grades=grades[query, instruction])
        for query, instruction in cases
    ]


class Judging:
    """Calls the services, and counts the tokens that a reranker would read."""

    def __init__(self, parts: Services, reranker: ModelFolder, *, width: int) -> None:
        tokens_max = QwenConfig.read(reranker.path).window(reranker.settings.max_tokens)
        self._parts = parts
        self._prompts = PromptBuilder.load(reranker.path, tokens_max=tokens_max)
        self._width = width
        self._made_by = f"{parts.embedding.embedder.identity.name}-{reranker.name}-{reranker.revision}"

    def file(self, folder: Path, name: str, asked: Sequence[Asked]) -> Path:
        """File of the record; another model, width or sample is another file."""
        said = orjson.dumps([self._made_by, self._width, [asdict(each) for each in asked]])
        return folder / f"{name}-{hashlib.sha256(said).hexdigest()[:12]}.json"

    async def judged(self, corpus: Path, name: str, asked: Sequence[Asked]) -> list[JudgedQuery]:
        """Index the corpus if needed, then rerank every candidate of every query."""
        indexing = assemble_indexing(self._parts.settings, self._parts.disk, self._parts.embedding)
        opened = indexing.open(name)
        await indexing.run(open_corpus(str(corpus)), opened, progress=NoProgress())
        opened.searchable.refresh()
        return [await self._judged(opened, each) for each in asked]

    async def _judged(self, opened: OpenCollection, asked: Asked) -> JudgedQuery:
        recalled = await opened.recall.find(RecallRequest(query=asked.query, width=self._width))
        ranking = await self._parts.reranker.rank(
            asked.query,
            recalled.candidates,
            instruction=asked.instruction,
            tenant=DEFAULT_TENANT,
            deadline=Deadline.never(),
        )
        passages = [candidate.chunk.passage for candidate in recalled.candidates]
        prompts = self._prompts.build(asked.query, passages, asked.instruction)
        said = {each.candidate.recall_rank: each for each in ranking.ranked}
        rows = zip(recalled.candidates, passages, prompts.tails, strict=True)
        return JudgedQuery(
            query=asked.query,
            grades=asked.grades,
            shared_tokens=len(prompts.shared),
            ranked_by=ranking.ranked_by,
            candidates=tuple(
                JudgedCandidate(
                    document_id=candidate.chunk.document_id,
                    similarity=_known(candidate.similarity),
                    relevance=_known(said[candidate.recall_rank].relevance),
                    score=_known(said[candidate.recall_rank].score),
                    tokens=len(tail),
                    passage=passages.index(passage),
                )
                for candidate, passage, tail in rows
            ),
        )


def written(file: Path, judged: Sequence[JudgedQuery]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(orjson.dumps([asdict(each) for each in judged]))


def read(file: Path) -> list[JudgedQuery]:
    return [
        JudgedQuery(
            **{
                **row,
                "ranked_by": RankedBy(row["ranked_by"]),
                "candidates": tuple(JudgedCandidate(**each) for each in row["candidates"]),
            }
        )
        for row in orjson.loads(file.read_bytes())
    ]


def _known(figure: float | None) -> float:
    assert figure is not None, "every candidate was found and reranked. This is a bug."
    return figure
