"""Settings are read as a shell reads words; what is wrong with one is named."""

from __future__ import annotations

import pytest

from winnow.api.cli.evaluation.named_settings import Order, TypedSetting, parse_settings, product
from winnow.rerank.stopping_rule import Depth
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.records import RecallMode


def test_a_setting_has_a_name_and_values() -> None:
    """A text with blanks and commas stands in quotes; order does not matter."""
    found = parse_settings(
        [
            "plain",
            "wide depth=adaptive candidates=100 recall=hybrid order=relevance",
            "zh reranker=large embedder=org/m=http://h:1 instruction='Prefer Chinese, not \"English\" = so.'",
            "words recall=lexical reranker=none",
        ]
    )
    assert found == (
        TypedSetting(name="plain"),
        TypedSetting(
            name="wide", order=Order.RELEVANCE, recall=RecallMode.HYBRID, candidates=100, depth=Depth.ADAPTIVE
        ),
        TypedSetting(
            name="zh",
            reranker="large",
            embedder="org/m=http://h:1",
            instruction='Prefer Chinese, not "English" = so.',
        ),
        TypedSetting(name="words", order=Order.RECALL, recall=RecallMode.LEXICAL),
    )


@pytest.mark.parametrize(
    ("said", "reference"),
    [
        ("legal", "legal"),
        ("legal@2", "legal@2"),
        ("builtin/support-language-first", "builtin/support-language-first"),
        ("default", None),
        ("Prefer Chinese.", None),
        ("中文优先", None),
    ],
)
def test_an_instruction_that_is_spelled_like_a_name_is_one(said: str, reference: str | None) -> None:
    assert TypedSetting(name="x", instruction=said).reference == reference


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ([""], "it is empty"),
        (["recall=dense"], "begin with a name"),
        (["a/b recall=dense"], "begin with a name"),
        (["a recall"], "'recall' is not one of recall=..., candidates=..., depth=..."),
        (["a width=3"], "'width=3' is not one of"),
        (["a recall=fast"], "recall: it must be one of dense, hybrid, lexical"),
        (["a candidates=0"], "candidates: it must be between 1 and"),
        (["a order=recall"], "order: it must be one of answer, relevance"),
        (["a recall=dense recall=hybrid"], "recall is there twice"),
        (["a instruction='open"], "put a text with blanks in quotes"),
        (["a instruction="], "instruction: it is empty"),
        (["a instruction=Prefer law"], "'law' is not one of"),
        (["a reranker=none candidates=3"], "candidates means nothing with reranker=none"),
        (["a", "b", "a recall=dense"], "two settings have the name 'a'"),
        ([f"s{number}" for number in range(33)], "33 settings are more than 32"),
    ],
)
def test_what_is_no_setting_is_refused(words: list[str], wrong: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_settings(words)
    assert wrong in refused.value.detail


def test_flags_make_a_product_whose_names_tell_settings_apart() -> None:
    modes, rerankers = (RecallMode.DENSE, RecallMode.HYBRID), ("a", "b")
    found = product(modes, rerankers, is_reranked=True, default=RecallMode.DENSE)
    assert [each.name for each in found[:5]] == [
        "recall-dense", "two-stage-a-dense", "rerank-a-dense", "two-stage-b-dense", "rerank-b-dense",
    ]  # fmt: skip
    assert len({each.name for each in found}) == len(found) == 10
    plain = product((), (), is_reranked=True, default=RecallMode.LEXICAL)
    assert [(each.name, each.order, each.recall) for each in plain] == [
        ("recall", Order.RECALL, RecallMode.LEXICAL),
        ("two-stage", Order.ANSWER, RecallMode.LEXICAL),
        ("rerank", Order.RELEVANCE, RecallMode.LEXICAL),
    ]
