"""The prompt is the model card's, id by id; what a user wrote stays text; only the right part is cut."""

from __future__ import annotations

import html
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.real_models import bundled_model, qwen_tokenizer
from tests.tiny_models import QWEN_ADDED, write_reranker
from winnow.rerank.instruction import DEFAULT_INSTRUCTION
from winnow.rerank.prompt import PREFIX, SUFFIX, PromptBuilder
from winnow.retrieval.errors import ModelUnusable
from winnow.retrieval.model.tokenizer import PlainTokenizer, ScaffoldTokenizer

QUERY = "How long may I wait before I return a product? 退货期限多长？"
PASSAGE = "A consumer may return goods within seven days. 消费者自收到商品之日起七日内有权退货。"
FULL_WIDTH = {ord(character): ord(character) + 0xFEE0 for character in "<>|/_abcdefghijklmnopqrstuvwxyz"}
FORMS = {
    "plain": lambda token: (token, token),
    "split": lambda token: (token[: len(token) // 2], token[len(token) // 2 :]),
    "full-width": lambda token: (token.translate(FULL_WIDTH), token.translate(FULL_WIDTH)),
    "entity": lambda token: (html.escape(token), html.escape(token)),
}


@pytest.fixture(scope="module", params=["tiny", "bundled", "qwen"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    match request.param:
        case "tiny":
            return write_reranker(tmp_path_factory.mktemp("models") / "tiny")
        case "bundled":
            return bundled_model("reranker").path
        case _:
            return qwen_tokenizer()


@pytest.fixture(scope="module")
def plain(folder: Path) -> PlainTokenizer:
    return PlainTokenizer.load(folder)


@pytest.fixture(scope="module")
def scaffold(folder: Path) -> ScaffoldTokenizer:
    return ScaffoldTokenizer.load(folder)


@pytest.fixture(scope="module")
def builder(plain: PlainTokenizer, scaffold: ScaffoldTokenizer) -> PromptBuilder:
    return PromptBuilder(plain, scaffold, tokens_max=8192)


@given(query=st.text(max_size=30), passage=st.text(max_size=60), instruction=st.text(max_size=30))
@settings(max_examples=60, deadline=None)
def test_joined_ids_are_those_of_the_whole_body(
    plain: PlainTokenizer, scaffold: ScaffoldTokenizer, query: str, passage: str, instruction: str
) -> None:
    """Encoding the shared part once and each passage apart changes no id against the model card's recipe."""
    prompts = PromptBuilder(plain, scaffold, tokens_max=8192).build(query, [passage], instruction)
    body = plain.ids(f"<Instruct>: {instruction}\n<Query>: {query}\n<Document>: {passage}")
    assert [*prompts.shared, *prompts.tails[0]] == [*scaffold.ids(PREFIX), *body, *scaffold.ids(SUFFIX)]


@pytest.mark.parametrize("form", FORMS)
def test_control_tokens_are_only_in_the_scaffold(
    builder: PromptBuilder, scaffold: ScaffoldTokenizer, form: str
) -> None:
    """All 26 added tokens, in the instruction, the query and the passage, whole or split over two of them."""
    prefix, suffix = scaffold.ids(PREFIX), scaffold.ids(SUFFIX)
    for token in QWEN_ADDED:
        first, second = FORMS[form](token)
        for instruction, query, passage in (
            (first, second, "x"),
            ("x", first, second),
            (f"{second} x {first}", f"{second}{first}", f"{second} {first}"),
        ):
            prompts = builder.build(query, [passage], instruction)
            assert list(prompts.shared[: len(prefix)]) == prefix
            assert list(prompts.tails[0][-len(suffix) :]) == suffix
            user = {*prompts.shared[len(prefix) :], *prompts.tails[0][: -len(suffix)]}
            assert scaffold.control_ids.isdisjoint(user), (token, form)


@given(words=st.tuples(*[st.integers(0, 400)] * 3), tokens_max=st.integers(180, 600))
@settings(max_examples=60, deadline=None)
def test_a_prompt_always_fits_and_keeps_its_suffix(
    plain: PlainTokenizer,
    scaffold: ScaffoldTokenizer,
    words: tuple[int, int, int],
    tokens_max: int,
) -> None:
    """However long its parts: prefix and suffix whole, the passage with at least its quarter of the room."""
    prefix, suffix = scaffold.ids(PREFIX), scaffold.ids(SUFFIX)
    fixed = len(prefix) + len(suffix)
    builder = PromptBuilder(plain, scaffold, tokens_max=fixed + tokens_max)
    passage = "退货 seven " * words[0]
    prompts = builder.build("query 法院 " * words[1], [passage], "instruct 合同 " * words[2])
    tail = prompts.tails[0]
    assert len(prompts.shared) + len(tail) <= fixed + tokens_max
    assert list(prompts.shared[: len(prefix)]) == prefix
    assert list(tail[-len(suffix) :]) == suffix
    whole = plain.ids(f" {passage}")
    assert len(tail) - len(suffix) >= min(len(whole), tokens_max // 4)
    assert prompts.truncated == (len(tail) - len(suffix) < len(whole),)


def test_the_passage_is_cut_first(plain: PlainTokenizer, scaffold: ScaffoldTokenizer) -> None:
    """A long passage costs the question nothing, and its neighbours neither."""
    builder = PromptBuilder(plain, scaffold, tokens_max=400)
    long = "消费者 returns goods. " * 300
    prompts = builder.build(QUERY, [PASSAGE, long, PASSAGE], DEFAULT_INSTRUCTION)
    alone = builder.build(QUERY, [PASSAGE], DEFAULT_INSTRUCTION)
    assert prompts.truncated == (False, True, False)
    assert prompts.shared == alone.shared
    assert (prompts.tails[0], prompts.tails[2]) == (alone.tails[0], alone.tails[0])
    assert prompts.tails[1][:20] == tuple(plain.ids(f" {long}")[:20])


def test_the_query_is_cut_before_the_instruction(plain: PlainTokenizer, scaffold: ScaffoldTokenizer) -> None:
    """With a query that fills the window, the instruction is still read whole."""
    prompts = PromptBuilder(plain, scaffold, tokens_max=500).build("合同 query " * 400, [PASSAGE], DEFAULT_INSTRUCTION)
    start = plain.ids(f"<Instruct>: {DEFAULT_INSTRUCTION}\n<Query>:")
    prefix = len(scaffold.ids(PREFIX))
    assert list(prompts.shared[prefix : prefix + len(start)]) == start
    assert list(prompts.shared[-2:]) == plain.ids("<Document>:")[-2:]


def test_tokens_count_the_shared_part_once(builder: PromptBuilder) -> None:
    """What is computed is what is counted."""
    one, three = builder.build(QUERY, [PASSAGE], "x"), builder.build(QUERY, [PASSAGE] * 3, "x")
    assert three.tokens == one.tokens + 2 * len(one.tails[0])


def test_a_window_without_room_is_refused(plain: PlainTokenizer, scaffold: ScaffoldTokenizer) -> None:
    """At start, not at the first request."""
    with pytest.raises(ModelUnusable, match="too small"):
        PromptBuilder(plain, scaffold, tokens_max=len(scaffold.ids(PREFIX + SUFFIX)) + 10)
