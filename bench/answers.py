"""CPU time of a search answer by how answers are defined: typed dicts, dataclasses or pydantic models.

    python -m bench.answers [--rounds 40]

Results with their context are built from the service's own records and written as JSON. All ways run in one process, in
turn; figures are medians in microseconds of CPU time.

    service      search_response, the body of POST /v1/search: typed dicts as literals, orjson
    dataclasses  the results alone, frozen with slots, orjson
    unchecked    the results alone, pydantic models by model_construct, pydantic's serializer
    pydantic     the results alone, pydantic models that validate, pydantic's serializer
"""

from __future__ import annotations

import argparse
import statistics
import time
import types
from collections.abc import Callable
from dataclasses import dataclass, make_dataclass
from typing import Any, Final, get_args, get_type_hints

import orjson
from pydantic import TypeAdapter, create_model
from typing_extensions import is_typeddict

from winnow.api.library.instructions import AppliedInstruction, InstructionSource
from winnow.api.schemas.response import ChunkPlace, ContextResponse, ExtractResponse
from winnow.api.schemas.search_response import SearchResult, search_response
from winnow.api.search.records import Answer, Result
from winnow.rerank.reranker import Ranked, RankedBy, Ranking
from winnow.retrieval.records import Candidate, Chunk, RecallMode
from winnow.retrieval.search.context import Context, Extract
from winnow.retrieval.search.recall import Recalled, RecallTimings, Served

TEXT: Final = "A consumer may return goods within seven days of receiving them, without giving a reason. " * 8
SIZES: Final = (10, 100)  # results
ABSENT: Final = {"other_chunks", "collapsed", "mmr", "above_threshold", "highlights"}  # of other searches
RESULTS_PER_ROUND: Final = 1_000

Make = Callable[[str, dict[str, Any]], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kinds:
    """The classes of one way; their fields are those of the service's typed dicts."""

    result: Any
    place: Any
    context: Any
    extract: Any

    @classmethod
    def by(cls, make: Make) -> Kinds:
        made: dict[Any, Any] = {}
        for kind in (ExtractResponse, ContextResponse, ChunkPlace, SearchResult):
            fields = {name: _with(made, hint) for name, hint in get_type_hints(kind).items() if name not in ABSENT}
            made[kind] = make(kind.__name__, fields)
        return cls(
            result=made[SearchResult],
            place=made[ChunkPlace],
            context=made[ContextResponse],
            extract=made[ExtractResponse],
        )

    @property
    def unchecked(self) -> Kinds:
        """The same pydantic models, without validation."""
        return Kinds(**{name: getattr(self, name).model_construct for name in Kinds.__slots__})


def ways(answer: Answer) -> dict[str, Callable[[], bytes]]:
    classes = Kinds.by(lambda name, fields: make_dataclass(name, fields.items(), frozen=True, slots=True))
    models = Kinds.by(lambda name, fields: create_model(name, **{each: (kind, ...) for each, kind in fields.items()}))
    unchecked = models.unchecked
    written = TypeAdapter(list[models.result]).dump_json
    return {
        "service": lambda: orjson.dumps(search_response(answer, explain=False, grouped=False)),
        "dataclasses": lambda: orjson.dumps(results(answer, classes)),
        "unchecked": lambda: written(results(answer, unchecked)),
        "pydantic": lambda: written(results(answer, models)),
    }


def results(answer: Answer, kinds: Kinds) -> list[Any]:
    return [_result(each, answer.contexts[each.best.candidate.chunk.number], kinds) for each in answer.results]


def measured(answer: Answer, *, rounds: int) -> dict[str, float]:
    """Median microseconds of CPU time by way. One round to warm up does not count."""
    timed = ways(answer)
    calls = RESULTS_PER_ROUND // len(answer.results)
    found: dict[str, list[float]] = {name: [] for name in timed}
    for _ in range(rounds + 1):
        for name, write in timed.items():
            started = time.process_time()
            for _ in range(calls):
                write()
            found[name].append((time.process_time() - started) / calls * 1e6)
    return {name: statistics.median(each[1:]) for name, each in found.items()}


def answer_of(count: int) -> Answer:
    """So many results of 100 candidates, with context on both sides."""
    ranked = tuple(_ranked(number) for number in range(100))
    context = Context(
        before=Extract(start=0, end=100, text=TEXT[:100]), after=Extract(start=800, end=900, text=TEXT[:100])
    )
    return Answer(
        id="req_0",
        collection="docs",
        instruction=AppliedInstruction(text="Prefer statutes.", source=InstructionSource.TENANT),
        recalled=Recalled(
            candidates=tuple(each.candidate for each in ranked),
            mode=RecallMode.HYBRID,
            tokens=12,
            served=Served(snapshot=None, store_version=1, generation="000001"),
            timings=RecallTimings(embed_ms=1.23456, recall_ms=2.3456, fetch_ms=0.34567),
        ),
        ranking=Ranking(ranked=ranked, judged_by="reranker", ranked_by=RankedBy.BLEND, tokens=1_000),
        degraded=None,
        rerank_skipped=None,
        reranker="reranker",
        results=tuple(Result(rank=each.rank, best=each) for each in ranked[:count]),
        contexts=dict.fromkeys(range(count), context),
        rerank_ms=55.5,
        total_ms=60.1,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    for count in SIZES:
        answer = answer_of(count)
        bodies = {name: orjson.loads(write()) for name, write in ways(answer).items()}
        served = bodies.pop("service")["results"]
        assert all(each == served for each in bodies.values()), "every way writes the same results"
        figures = measured(answer, rounds=arguments.rounds)
        print(f"{count:>4} results  " + "  ".join(f"{name} {us:,.0f}" for name, us in figures.items()))


def _with(made: dict[Any, Any], hint: Any) -> Any:
    """The hint, in which each typed dict is replaced by the class that was made for it."""
    if is_typeddict(hint):
        return made.get(hint, dict[str, Any])  # a location is empty here
    if isinstance(hint, types.UnionType):
        first, second = (_with(made, each) for each in get_args(hint))
        return first | second
    return hint


def _ranked(number: int) -> Ranked:
    chunk = Chunk(
        number=number,
        document_id=f"doc-{number}",
        ordinal=2,
        start=100,
        end=800,
        title="Returns",
        text=TEXT,
        url="https://example.org/returns",
        metadata={"line": "legal", "year": 2024, "tags": ["returns", "refunds"]},
    )
    candidate = Candidate(chunk=chunk, recall_rank=number + 1, similarity=0.8123456 - number / 1e3, lexical_score=12.3)
    return Ranked(candidate=candidate, rank=number + 1, score=0.9123 - number / 200, relevance=0.9345 - number / 200)


def _result(result: Result, context: Context, kinds: Kinds) -> Any:
    ranked, candidate, chunk = result.best, result.best.candidate, result.best.candidate.chunk
    return kinds.result(
        rank=result.rank,
        score=ranked.score,
        document_id=chunk.document_id,
        chunk=kinds.place(ordinal=chunk.ordinal, start=chunk.start, end=chunk.end),
        title=chunk.title,
        url=chunk.url,
        text=chunk.text,
        section=[],
        header="",
        location={},
        metadata=dict(chunk.metadata),
        similarity=candidate.similarity,
        lexical_score=candidate.lexical_score,
        recall_rank=candidate.recall_rank,
        relevance=ranked.relevance,
        truncated=ranked.truncated,
        demoted=ranked.demoted,
        context=kinds.context(before=_extract(context.before, kinds), after=_extract(context.after, kinds)),
    )


def _extract(extract: Extract | None, kinds: Kinds) -> Any:
    if extract is None:
        return None
    return kinds.extract(start=extract.start, end=extract.end, text=extract.text, section=[], header="", location={})


if __name__ == "__main__":
    main()
