"""Measures whether the order follows the instruction; data/corpus says which document is best for each.

    python -m bench.instructions [--embed-model M] [--rerank-model M] [--candidates 30] [--json]

For every query with each instruction it has judgments for, grouped by what the instruction prefers:

    first        the answer's first document is of the preferred kind and relevant
    first-known  the first document with a relevance judgment is of the preferred kind, whatever precedes it
    recall       the same as first-known for recall's order, which ignores the instruction: chance and content
    contested    cases with candidates of both sorts, known to be relevant, preferred and not: only there can an order
                 follow the instruction or not. `followed` is the share of them in which a preferred one is first-known
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from winnow.api.assemble import Services, assemble, assemble_indexing
from winnow.api.search.records import Question
from winnow.api.settings import Settings, load
from winnow.indexer.progress import NoProgress
from winnow.indexer.readers.beir import read_queries
from winnow.indexer.readers.open_corpus import open_corpus
from winnow.rerank.reranker import Ranked
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.records import Chunk
from winnow.retrieval.tenancy import DEFAULT_TENANT

CORPUS = Path(__file__).resolve().parents[1] / "data" / "corpus"
COLLECTION = "instructions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """An instruction and the documents that it prefers."""

    text: str
    prefers: Mapping[str, str | Sequence[str]]

    @property
    def group(self) -> str:
        """Instructions with the same preference are measured together."""
        return ", ".join(
            f"{key}={value if isinstance(value, str) else '|'.join(value)}" for key, value in self.prefers.items()
        )

    def is_met_by(self, metadata: Mapping[str, Any]) -> bool:
        return all(
            metadata.get(key) == value if isinstance(value, str) else metadata.get(key) in value
            for key, value in self.prefers.items()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One query with one instruction."""

    query: str
    group: str
    is_first: bool
    is_first_known: bool
    is_first_in_recall: bool
    is_contested: bool  # among the candidates are known documents of the preferred kind and others


def read_preferences(folder: Path) -> dict[str, Preference]:
    lines = (folder / "instructions.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["_id"]: Preference(text=row["text"], prefers=row["prefers"]) for row in map(json.loads, lines)}


def read_cases(folder: Path) -> dict[tuple[str, str], set[str]]:
    """The relevant documents, by query and instruction."""
    cases: dict[tuple[str, str], set[str]] = defaultdict(set)
    for line in (folder / "qrels" / "by-instruction.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        query, instruction, document, _ = line.split("\t")
        cases[query, instruction].add(document)
    return cases


async def outcomes(
    parts: Services, folder: Path = CORPUS, *, candidates: int, group: str = "", every: int = 1
) -> list[Outcome]:
    """Index the folder into the services' data, then run one in `every` case of the groups that begin so."""
    indexing = assemble_indexing(parts.settings, parts.disk, parts.embedding)
    await indexing.run(open_corpus(str(folder)), indexing.open(COLLECTION), progress=NoProgress())
    preferences, queries = read_preferences(folder), read_queries(folder)
    found = []
    wanted = [case for case in read_cases(folder).items() if preferences[case[0][1]].group.startswith(group)]
    for (query, instruction), relevant in wanted[::every]:
        preference = preferences[instruction]
        question = Question(
            tenant=DEFAULT_TENANT,
            collection=COLLECTION,
            query=queries[query],
            top_k=candidates,
            candidates=candidates,
            instruction=preference.text,
        )
        answer = await parts.search.answer(question, Deadline.never())
        ranked = answer.ranking.ranked
        by_recall = sorted(ranked, key=lambda each: each.candidate.recall_rank)
        first = ranked[0].candidate.chunk
        found.append(
            Outcome(
                query=query,
                group=preference.group,
                is_first=first.document_id in relevant and preference.is_met_by(first.metadata),
                is_first_known=_first_known_is_met(ranked, relevant, preference),
                is_first_in_recall=_first_known_is_met(by_recall, relevant, preference),
                is_contested=len({preference.is_met_by(chunk.metadata) for chunk in _known(ranked, relevant)}) == 2,
            )
        )
    return found


def _first_known_is_met(ranked: Sequence[Ranked], relevant: set[str], preference: Preference) -> bool:
    known = next(_known(ranked, relevant), None)
    return known is not None and preference.is_met_by(known.metadata)


def _known(ranked: Sequence[Ranked], relevant: set[str]) -> Iterator[Chunk]:
    chunks = (each.candidate.chunk for each in ranked)
    return (chunk for chunk in chunks if chunk.document_id in relevant)


def shares(found: Sequence[Outcome]) -> dict[str, dict[str, float]]:
    """Number of cases and share of each outcome, per kind of preference."""
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in found:
        groups[outcome.group].append(outcome)
        groups["all"].append(outcome)
    return {
        group: {
            "cases": len(rows),
            "first": sum(row.is_first for row in rows) / len(rows),
            "first-known": sum(row.is_first_known for row in rows) / len(rows),
            "recall": sum(row.is_first_in_recall for row in rows) / len(rows),
            "contested": sum(row.is_contested for row in rows),
            "followed": _share(row.is_first_known for row in rows if row.is_contested),
        }
        for group, rows in sorted(groups.items())
    }


def _share(outcomes: Iterable[bool]) -> float:
    counted = list(outcomes)
    return sum(counted) / len(counted) if counted else 0.0


def as_text(report: Mapping[str, Mapping[str, float]]) -> str:
    titles = f"{'cases':>6}{'first':>8}{'first-known':>13}{'recall':>8}{'contested':>11}{'followed':>10}"
    lines = [f"{'the instruction prefers':<52}{titles}"]
    for group, row in report.items():
        lines.append(
            f"{group:<52}{row['cases']:>6.0f}{row['first']:>8.2f}{row['first-known']:>13.2f}{row['recall']:>8.2f}"
            f"{row['contested']:>11.0f}{row['followed']:>10.2f}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embed-model")
    parser.add_argument("--rerank-model")
    parser.add_argument("--candidates", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    flags: dict[str, object] = {"embed_model": arguments.embed_model, "rerank_model": arguments.rerank_model}
    with tempfile.TemporaryDirectory() as data:
        settings: Settings = load({**flags, "data": data})
        report = shares(asyncio.run(outcomes(assemble(settings), candidates=arguments.candidates)))
    print(json.dumps(report, indent=2) if arguments.json else as_text(report))


if __name__ == "__main__":
    main()
