"""Recall proposes, the reranker orders, and where it fails the answer says so and invents nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.answers import check_answer
from tests.fakes import FailingReranker, PrefersWord, ScriptedRecall
from winnow.api.library.built_in import built_in_instructions
from winnow.api.library.instructions import Instructions, InstructionSource, NamedInstruction
from winnow.api.schemas.compat.rerank import RerankResponse, rerank_response
from winnow.api.schemas.search_response import SearchResponse, search_response
from winnow.api.search.first_stage import FindsCandidates, FirstStage
from winnow.api.search.records import REASONS, Answer, Degraded, DegradeReason, OnRerankFailure, Question
from winnow.api.search.rerankers import Rerankers
from winnow.api.search.two_stage import Search
from winnow.rerank.instruction import DEFAULT_INSTRUCTION
from winnow.rerank.reranker import RECALL_ORDER, RankedBy, RecallOrder, Reranker
from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.catalog.instructions import InstructionContent, Variable
from winnow.retrieval.catalog.sql.collections import SqlCollections
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.instructions import SqlInstructions
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.embed.embedder import DEFAULT_TASK, EmbedderIdentity
from winnow.retrieval.errors import (
    CollectionNotFound,
    DeadlineExceeded,
    InstructionConflict,
    InstructionNotFound,
    InvalidRequest,
    RerankError,
    RerankUnavailable,
    VariableRefused,
)
from winnow.retrieval.records import RecallMode
from winnow.retrieval.search.recall import RecallRequest

NEVER = Deadline.never()


@dataclass(frozen=True)
class OneCollection:
    """Opens the same recall for every collection. Implements `OpensCollections`."""

    recall: FindsCandidates

    def recall_of(self, collection: Collection, *, asker: str) -> FindsCandidates:
        return self.recall


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[SqlCollections]:
    catalog = SqlCollections(database := SqlDatabase.open(tmp_path / "catalog.sqlite"))
    catalog.add(
        Collection(
            tenant="default",
            name="docs",
            embedder=EmbedderIdentity(name="e", revision="1", dimension=8),
            chunk_tokens=256,
            created_at=datetime.now(UTC),
        )
    )
    yield catalog
    database.close()


TOPIC = Variable(name="topic", default="herons")


def instructions_of(catalog: SqlCollections) -> Instructions:
    return Instructions(SqlInstructions(catalog._database), built_in=built_in_instructions)


def first_stage_over(
    catalog: SqlCollections, recall: FindsCandidates, mode: RecallMode = RecallMode.HYBRID
) -> FirstStage:
    return FirstStage(
        catalog=catalog,
        instructions=instructions_of(catalog),
        collections=OneCollection(recall),
        candidates_default=4,
        recall_default=mode,
    )


def search_over(catalog: SqlCollections, recall: FindsCandidates, *rerankers: Reranker) -> Search:
    """The first of them is the default."""
    default, *also = rerankers
    return Search(first_stage=first_stage_over(catalog, recall), rerankers=Rerankers(default=default, also=tuple(also)))


def question(**changes: object) -> Question:
    return Question(**({"tenant": "default", "collection": "docs", "query": "q", "top_k": 3} | changes))


def texts(answer: Answer) -> list[str]:
    return [result.best.candidate.chunk.text for result in answer.results]


async def test_the_judged_order_replaces_the_recalled_one(catalog: SqlCollections) -> None:
    """What the reranker prefers comes first; equals keep recall's order; both scores stay visible."""
    search = search_over(catalog, ScriptedRecall("a", "b", "c refund", "d"), PrefersWord("refund"))
    answer = await search.answer(question(), NEVER)
    assert texts(answer) == ["c refund", "a", "b"]
    best = answer.results[0].best
    assert (best.relevance, best.candidate.similarity, best.candidate.recall_rank) == (0.9, pytest.approx(0.88), 3)
    assert (answer.ranking.judged_by, answer.ranking.ranked_by) == ("prefers-word", RankedBy.RELEVANCE)
    assert answer.degraded is None


@pytest.mark.parametrize("kind", sorted(REASONS, key=lambda kind: kind.__name__))
async def test_a_failing_reranker_leaves_recalls_order_and_says_why(
    catalog: SqlCollections, kind: type[RerankError]
) -> None:
    """No relevance is invented, the judge is named as nobody, and the reason is from the closed list."""
    search = search_over(catalog, ScriptedRecall("a", "b"), FailingReranker(kind("now")))
    answer = await search.answer(question(), NEVER)
    assert texts(answer) == ["a", "b"]
    assert [result.best.relevance for result in answer.results] == [None, None]
    assert [result.best.score for result in answer.results] == [pytest.approx(0.9), pytest.approx(0.89)]
    assert (answer.ranking.judged_by, answer.ranking.ranked_by) == (RECALL_ORDER, RankedBy.RECALL_ORDER)
    assert answer.degraded is not None
    assert (answer.degraded.stage, answer.degraded.reason) == ("rerank", REASONS[kind])


async def test_who_wants_no_degraded_answer_gets_the_error(catalog: SqlCollections) -> None:
    """on_rerank_failure="error" passes the failure on."""
    search = search_over(catalog, ScriptedRecall("a"), FailingReranker(RerankUnavailable("gone")))
    with pytest.raises(RerankUnavailable):
        await search.answer(question(on_rerank_failure=OnRerankFailure.ERROR), NEVER)


async def test_a_deadline_that_has_passed_stops_before_recall(catalog: SqlCollections) -> None:
    """There is nothing to degrade to yet."""
    search = search_over(catalog, ScriptedRecall("a"), PrefersWord("a"))
    with pytest.raises(DeadlineExceeded):
        await search.answer(question(), Deadline(0.0))


async def test_without_rerank_nobody_judges(catalog: SqlCollections) -> None:
    """It was not asked for, so nothing is degraded."""
    reranker = PrefersWord("b")
    answer = await search_over(catalog, ScriptedRecall("a", "b"), reranker).answer(question(rerank=False), NEVER)
    assert texts(answer) == ["a", "b"]
    assert (answer.degraded, answer.rerank_ms, reranker.instructions) == (None, None, [])


@pytest.mark.parametrize(
    ("changes", "width"),
    [
        ({}, 4),
        ({"top_k": 9}, 9),
        ({"candidates": 2}, 2),
        ({"rerank": False}, 3),
        ({"rerank": False, "group_by_document": True}, 4),
        ({"rerank": False, "candidates": 8}, 8),
    ],
)
async def test_recall_is_asked_for_as_much_as_is_needed(
    catalog: SqlCollections, changes: dict[str, object], width: int
) -> None:
    """The caller's number holds; the default is widened to top_k and narrowed where nothing is judged."""
    recall = ScriptedRecall("a", "b")
    await search_over(catalog, recall, PrefersWord("a")).answer(question(**changes), NEVER)
    assert recall.widths == [width]


async def test_instructions_come_from_request_then_collection_then_tenant_then_default(catalog: SqlCollections) -> None:
    """The nearest wins, and the answer names which it was, down to the version."""
    reranker = PrefersWord("a")
    search = search_over(catalog, ScriptedRecall("a"), reranker)
    instructions = instructions_of(catalog)
    for text in ("first", "second"):
        instructions.publish("default", "house", InstructionContent(text=text))
    instructions.publish("default", "everywhere", InstructionContent(text="{topic}", variables=(TOPIC,)))
    said = [(await search.answer(question(), NEVER)).instruction]
    instructions.set_default("default", "everywhere")
    said.append((await search.answer(question(), NEVER)).instruction)
    catalog.change("default", "docs", instruction="house")
    said.append((await search.answer(question(), NEVER)).instruction)
    mine = [
        NamedInstruction(name="house", version=1),
        NamedInstruction(name="everywhere", variables={"topic": "wool"}),
        "mine {topic}",
    ]
    said += [(await search.answer(question(instruction=each), NEVER)).instruction for each in mine]
    assert reranker.instructions == [DEFAULT_INSTRUCTION, "herons", "second", "first", "wool", "mine {topic}"]
    assert [each.text for each in said] == reranker.instructions
    assert [(each.source, each.name, each.version, each.state) for each in said] == [
        (InstructionSource.BUILT_IN, "default", 1, "published"),
        (InstructionSource.TENANT, "everywhere", 1, "published"),
        (InstructionSource.COLLECTION, "house", 2, "published"),
        (InstructionSource.REQUEST, "house", 1, "published"),
        (InstructionSource.REQUEST, "everywhere", 1, "published"),
        (InstructionSource.REQUEST, None, None, None),
    ]


async def test_a_query_is_embedded_under_the_instructions_task(catalog: SqlCollections) -> None:
    """With the same values; under the default task where there is none, also without a judge."""
    recall = ScriptedRecall("a")
    search = search_over(catalog, recall, PrefersWord("a"))
    content = InstructionContent(text="x", embedding_task="on {topic}", variables=(TOPIC,))
    instructions_of(catalog).publish("default", "house", content)
    for mine in (None, "text", NamedInstruction(name="house", variables={"topic": "wool"})):
        await search.answer(question(instruction=mine), NEVER)
    await search.answer(question(instruction=NamedInstruction(name="house"), rerank=False), NEVER)
    assert recall.tasks == [DEFAULT_TASK, DEFAULT_TASK, "on wool", "on herons"]


async def test_an_instruction_is_used_where_it_is_meant_for(catalog: SqlCollections) -> None:
    """A default that is meant for other collections is passed over, a request that names it is refused."""
    search = search_over(catalog, ScriptedRecall("a"), PrefersWord("a"))
    instructions = instructions_of(catalog)
    instructions.publish("default", "laws", InstructionContent(text="x", collections=("laws", "acts")))
    instructions.set_default("default", "laws")
    assert (await search.answer(question(), NEVER)).instruction.source is InstructionSource.BUILT_IN
    with pytest.raises(InvalidRequest, match="laws@1 is restricted to the collections laws, acts"):
        await search.answer(question(instruction=NamedInstruction(name="laws")), NEVER)
    with pytest.raises(InvalidRequest, match="restricted to"):
        instructions.check_default("default", "laws", collection="docs")


async def test_a_retired_version_is_used_and_said_to_be_and_a_draft_is_not_used(catalog: SqlCollections) -> None:
    """By whoever names it."""
    search = search_over(catalog, ScriptedRecall("a"), PrefersWord("a"))
    instructions = instructions_of(catalog)
    instructions.publish("default", "house", InstructionContent(text="first"))
    instructions.retire("default", "house", 1)
    instructions.write_draft("default", "house", InstructionContent(text="second"))
    answer = await search.answer(question(instruction=NamedInstruction(name="house", version=1)), NEVER)
    assert (answer.instruction.text, answer.instruction.state) == ("first", "retired")
    with pytest.raises(InstructionNotFound, match="house"):
        await search.answer(question(instruction=NamedInstruction(name="house")), NEVER)
    with pytest.raises(InstructionConflict, match="house@2 is a draft"):
        await search.answer(question(instruction=NamedInstruction(name="house", version=2)), NEVER)


async def test_what_comes_with_winnow_is_there_for_every_tenant(catalog: SqlCollections) -> None:
    """As a default, or by name with values; nobody can write there."""
    reranker = PrefersWord("a")
    search = search_over(catalog, ScriptedRecall("a"), reranker)
    instructions = instructions_of(catalog)
    instructions.set_default("default", "builtin/legal-statutes")
    named = NamedInstruction(name="builtin/support-language-first", variables={"language": "Chinese"})
    applied = [(await search.answer(question(instruction=mine), NEVER)).instruction for mine in (None, named)]
    assert [(each.name, each.source) for each in applied] == [
        ("builtin/legal-statutes", InstructionSource.TENANT),
        ("builtin/support-language-first", InstructionSource.REQUEST),
    ]
    assert "the civil code" in reranker.instructions[0]
    assert "written in Chinese" in reranker.instructions[1]
    for attempt in (
        lambda: instructions.publish("default", "builtin/x", InstructionContent(text="x")),
        lambda: instructions.write_draft("default", "builtin/legal-statutes", InstructionContent(text="x")),
        lambda: instructions.retire("default", "builtin/legal-statutes", 1),
        lambda: instructions.delete_draft("default", "builtin/legal-statutes", 1),
    ):
        with pytest.raises(InstructionConflict, match="read-only"):
            attempt()


@pytest.mark.parametrize("name", ["default", "try", "Builtin", "a b", "../x", "x" * 64, ""])
def test_reserved_and_impossible_names_are_refused(catalog: SqlCollections, name: str) -> None:
    with pytest.raises(InvalidRequest, match="name"):
        instructions_of(catalog).publish("default", name, InstructionContent(text="x"))


def test_a_default_needs_no_values(catalog: SqlCollections) -> None:
    """Nobody could give any."""
    instructions = instructions_of(catalog)
    content = InstructionContent(text="{topic}", variables=(replace(TOPIC, default=None),))
    instructions.publish("default", "needs", content)
    with pytest.raises(VariableRefused, match="topic is required: it has no default; a default gets no values"):
        instructions.set_default("default", "needs")


async def test_the_reranker_that_the_collection_has_chosen_judges(catalog: SqlCollections) -> None:
    """From one search to the next, without a restart; nobody else is asked."""
    small, large = PrefersWord("a", name="small"), PrefersWord("b", name="large")
    search = search_over(catalog, ScriptedRecall("a", "b"), small, large)
    said = []
    for chosen in (None, "large", "small", None):
        catalog.change("default", "docs", reranker=chosen)
        answer = await search.answer(question(), NEVER)
        said.append((answer.ranking.judged_by, texts(answer)))
    assert said == [("small", ["a", "b"]), ("large", ["b", "a"]), ("small", ["a", "b"]), ("small", ["a", "b"])]
    assert (len(small.instructions), len(large.instructions)) == (3, 1)


async def test_a_reranker_that_is_no_longer_configured_degrades(catalog: SqlCollections) -> None:
    """Whoever asks did nothing wrong: recall's order and the reason, unless an error was asked for; no other judges."""
    catalog.change("default", "docs", reranker="large")
    small = PrefersWord("b", name="small")
    search = search_over(catalog, ScriptedRecall("a", "b"), small)
    answer = await search.answer(question(), NEVER)
    assert (texts(answer), answer.ranking.judged_by) == (["a", "b"], RECALL_ORDER)
    assert answer.degraded == Degraded(stage="rerank", reason=DegradeReason.UNAVAILABLE)
    with pytest.raises(RerankUnavailable, match="has chosen large, but configured are: small"):
        await search.answer(question(on_rerank_failure=OnRerankFailure.ERROR), NEVER)
    assert (await search.answer(question(rerank=False), NEVER)).degraded is None
    assert small.instructions == []


@pytest.mark.parametrize(("model", "judge"), [("large", "large"), ("rerank-v3.5", "small"), (None, "small")])
async def test_loose_texts_are_judged_by_the_model_they_name(
    catalog: SqlCollections, model: str | None, judge: str
) -> None:
    """Any name is accepted, since other people's clients always send one; what is not configured is the default."""
    search = search_over(catalog, ScriptedRecall(), PrefersWord("a", name="small"), PrefersWord("b", name="large"))
    ranking = await search.rank_texts("q", ["a"], model=model, instruction=None, tenant="t", deadline=NEVER)
    assert ranking.judged_by == judge


async def test_unknown_names_are_refused(catalog: SqlCollections) -> None:
    """A collection or an instruction that is not there is the caller's error."""
    search = search_over(catalog, ScriptedRecall("a"), PrefersWord("a"))
    with pytest.raises(CollectionNotFound):
        await search.answer(question(collection="other"), NEVER)
    with pytest.raises(InstructionNotFound):
        await search.answer(question(instruction=NamedInstruction(name="none")), NEVER)


async def test_min_relevance_cuts_only_what_was_judged(catalog: SqlCollections) -> None:
    """What nobody judged is neither above nor below a relevance: a degraded answer is passed whole."""
    recall = ScriptedRecall("a", "b refund")
    judged = await search_over(catalog, recall, PrefersWord("refund")).answer(question(min_relevance=0.5), NEVER)
    degraded = await search_over(catalog, recall, FailingReranker(RerankUnavailable())).answer(
        question(min_relevance=0.5), NEVER
    )
    assert texts(judged) == ["b refund"]
    assert texts(degraded) == ["a", "b refund"]


async def test_grouping_shows_each_document_once_with_its_other_chunks(catalog: SqlCollections) -> None:
    """A document stands where its best chunk stands."""
    recall = ScriptedRecall("x|one", "y|two", "x|three refund", "y|four")
    answer = await search_over(catalog, recall, PrefersWord("refund")).answer(question(group_by_document=True), NEVER)
    assert texts(answer) == ["three refund", "two"]
    assert [[other.candidate.chunk.text for other in result.others] for result in answer.results] == [["one"], ["four"]]
    assert [result.rank for result in answer.results] == [1, 2]


async def test_a_grouped_answer_shows_the_best_chunks_of_each_document(catalog: SqlCollections) -> None:
    """As many as asked for, the best of them first; every candidate was judged all the same."""
    recall = ScriptedRecall("x|one", "y|two", "x|three refund", "x|four")
    search = search_over(catalog, recall, PrefersWord("refund"))
    answer = await search.answer(question(group_by_document=True, chunks_per_document=2), NEVER)
    assert texts(answer) == ["three refund", "two"]
    assert [[other.candidate.chunk.text for other in result.others] for result in answer.results] == [["one"], []]
    assert answer.ranking.judged == 4


async def test_one_long_document_does_not_take_the_places_of_others(catalog: SqlCollections) -> None:
    """There are three other documents, however many nearer chunks the first has; no more are judged for it."""
    recall = ScriptedRecall(*(f"long|part {number}" for number in range(50)), "b|one", "c|two", "c|three", "d|four")
    search = search_over(catalog, recall, PrefersWord("one"))
    grouped = await search.answer(question(group_by_document=True, top_k=4), NEVER)
    assert [result.best.candidate.chunk.document_id for result in grouped.results] == ["b", "long", "c", "d"]
    assert len(grouped.ranking.ranked) == 4
    alone = await search.answer(question(top_k=4), NEVER)
    assert {result.best.candidate.chunk.document_id for result in alone.results} == {"long"}


@pytest.mark.parametrize("grouped", [False, True])
async def test_neighbours_come_with_every_chunk_that_is_shown(*, catalog: SqlCollections, grouped: bool) -> None:
    """Of its own document only, and never what is shown already; without the wish nothing is read."""
    recall = ScriptedRecall("x|a", "x|b", "x|c", "x|d", "y|e", "y|f")
    search = search_over(catalog, recall, PrefersWord("b"))
    wanted = question(
        candidates=6, top_k=1, neighbours=2, group_by_document=grouped, chunks_per_document=grouped or None
    )
    answer = await search.answer(wanted, NEVER)
    (context,) = (search_response(answer, explain=False, grouped=grouped)["results"][0]["context"].items(),)
    assert [(side, part["text"]) for side, part in context] == [("before", "a"), ("after", "cd")]
    assert (await search.answer(question(), NEVER)).contexts == {}


@given(
    words=st.lists(st.sampled_from(["a|x", "a|y refund", "b|z", "c|refund", "c|w"]), max_size=12),
    top_k=st.integers(1, 5),
    grouped=st.booleans(),
    least=st.one_of(st.none(), st.floats(0, 1)),
)
async def test_an_answer_is_a_part_of_the_ranking_in_its_order(
    *, words: list[str], top_k: int, grouped: bool, least: float | None
) -> None:
    """Whatever is asked for: ranks count from 1, no chunk appears twice, and the order is the ranking's."""
    from winnow.api.search.two_stage import _relevant_enough, _results

    recalled = await ScriptedRecall(*words).find(RecallRequest(query="q", width=100))
    ranking = await PrefersWord("refund").rank("q", recalled.candidates, instruction="", tenant="t", deadline=NEVER)
    results = _results(question(top_k=top_k, group_by_document=grouped), _relevant_enough(ranking, least))
    shown = [result.best.rank for result in results]
    numbers = [each.candidate.chunk.number for result in results for each in (result.best, *result.others)]
    assert [result.rank for result in results] == list(range(1, len(results) + 1))
    assert shown == sorted(shown)
    assert len(numbers) == len(set(numbers))
    assert len(results) <= top_k


@pytest.mark.parametrize(("said", "used"), [(None, RecallMode.LEXICAL), (RecallMode.HYBRID, RecallMode.HYBRID)])
async def test_recall_goes_the_way_that_the_search_names_and_says_which(
    catalog: SqlCollections, said: RecallMode | None, used: RecallMode
) -> None:
    """Unless it names none: then the service's own."""
    recall = ScriptedRecall("a")
    first_stage = first_stage_over(catalog, recall, mode=RecallMode.LEXICAL)
    search = Search(first_stage=first_stage, rerankers=Rerankers(default=RecallOrder()))
    answer = await search.answer(question(recall=said), NEVER)
    assert recall.modes == [used]
    assert search_response(answer, explain=False, grouped=False)["recall"] == used


@pytest.mark.parametrize("explain", [False, True])
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("neighbours", [0, 1])
@pytest.mark.parametrize("reranker", [PrefersWord("b"), RecallOrder(), FailingReranker(RerankUnavailable())])
async def test_the_body_is_the_documented_one(
    *, catalog: SqlCollections, explain: bool, grouped: bool, neighbours: int, reranker: Reranker
) -> None:
    """The body has exactly the keys that OpenAPI shows."""
    search = search_over(catalog, ScriptedRecall("x|a", "x|b", "c"), reranker)
    answer = await search.answer(question(group_by_document=grouped, neighbours=neighbours), NEVER)
    body = search_response(answer, explain=explain, grouped=grouped)
    check_answer(SearchResponse, body)
    expected = set(SearchResponse.__annotations__) - (set() if explain else {"explain", "filtered", "index"})
    expected -= {"diversity", "highlight", "answerable", "calibration", "query_used", "queries_used", "rewrite"}
    assert set(body) == expected
    assert body["timings_ms"].keys() == {"embed", "recall", "lexical", "fetch", "rerank", "total"}


async def test_loose_texts_are_judged_by_their_place(catalog: SqlCollections) -> None:
    """POST /v1/rerank: the index is the place in the request, in every client's dialect."""
    search = search_over(catalog, ScriptedRecall(), PrefersWord("refund"))
    ranking = await search.rank_texts("q", ["a", "b refund", "c"], instruction=None, tenant="t", deadline=NEVER)
    read = replace(ranking, tokens_read=ranking.tokens)  # a real reranker counts what it reads
    body = rerank_response(read, shown=read.ranked[:2])
    check_answer(RerankResponse, body)
    assert body["results"] == [
        {"index": 1, "relevance_score": 0.9, "document": {"text": "b refund"}},
        {"index": 0, "relevance_score": 0.1, "document": {"text": "a"}},
    ]
    assert body["data"] == [
        {"object": "rerank", "index": 1, "relevance_score": 0.9},
        {"object": "rerank", "index": 0, "relevance_score": 0.1},
    ]
    assert body["usage"] == {"prompt_tokens": 30, "total_tokens": 30}
