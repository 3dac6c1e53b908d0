"""Texts fall into sentences, in both languages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.retrieval.lexical.sentences import split_sentences

TEXTS = st.text(st.sampled_from('ab Z1.!?\n\t "”。！？；，…退货𠀀😀\ud800\r'), max_size=60) | st.text(max_size=60)


def split(text: str) -> list[str]:
    return [text[span.start : span.end] for span in split_sentences(text)]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("“Is it so?” she asked. Yes.", ["“Is it so?”", "she asked.", "Yes."]),
        (
            "自收到之日起七日内有权退货。逾期不予受理！为什么？",
            ["自收到之日起七日内有权退货。", "逾期不予受理！", "为什么？"],
        ),
        ("他说：“可以。”然后走了。", ["他说：“可以。”", "然后走了。"]),
        ("A wrapped line\ngoes on. Next.", ["A wrapped line\ngoes on.", "Next."]),
        ("A title\n\nThen text.", ["A title", "Then text."]),
        ("- one\n- two", ["- one", "- two"]),
        ("Pay 3.5 percent.", ["Pay 3.5 percent."]),
        ("  \n ... \n", []),
        ("", []),
    ],
)
def test_sentences_end_where_readers_say(text: str, sentences: list[str]) -> None:
    assert split(text) == sentences


@given(TEXTS)
def test_sentences_are_slices_in_order_that_lose_nothing(text: str) -> None:
    """Each begins and ends with a character that is no blank; letters and digits are all in exactly one."""
    spans = split_sentences(text)
    edges = [edge for span in spans for edge in (span.start, span.end)]
    assert edges == sorted(edges)
    assert all(each == each.strip() and each for each in split(text))
    inside = {place for span in spans for place in range(span.start, span.end)}
    assert all(place in inside for place, character in enumerate(text) if character.isalnum())
