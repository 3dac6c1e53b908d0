"""Chunking: the spans tile the text, no passage is too long, and cuts fall where a reader would put them."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiny_models import write_embedder
from winnow.indexer.chunking import Chunker, Uncut
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.records import Span, passage_of

# Marks of both languages, things made of several code points, and the parts of such things on their own.
PROSE = st.text(
    alphabet='ab  \n\n\t\r.!?。！？；…，’”"-0中文退货éकष\u0301\u200d\ufe0f👍\U0001f3fd🏳🌈\U0001f1e8\U0001f1f3',
    max_size=400,
)


class Words:
    """A tokenizer whose tokens can be counted by eye: a word with the blanks before it, or one Chinese character."""

    _TOKEN = re.compile(r"\s*[^\s\u4e00-\u9fff。！？；…，]+|\s*[\u4e00-\u9fff。！？；…，]|\s+")

    def ids(self, text: str) -> list[int]:
        return [hash(match[0]) for match in self._TOKEN.finditer(text)]

    def ids_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [self.ids(text) for text in texts]

    def offsets(self, text: str) -> list[tuple[int, int]]:
        return [match.span() for match in self._TOKEN.finditer(text)]


def pieces(text: str, spans: tuple[Span, ...]) -> list[str]:
    return [text[span.start : span.end] for span in spans]


def cut(text: str, tokens_max: int, title: str = "") -> list[str]:
    return pieces(text, Chunker(tokenizer=Words(), tokens_max=tokens_max).spans(text, title))


@pytest.fixture(scope="module")
def byte_pairs(tmp_path_factory: pytest.TempPathFactory) -> PlainTokenizer:
    """The kind of tokenizer that the models have: byte pairs, NFC, several tokens to an emoji."""
    return PlainTokenizer.load(write_embedder(tmp_path_factory.mktemp("models") / "embed"))


def test_short_text_is_one_chunk():
    """What fits is not cut."""
    assert cut("One. Two.\n\nThree.", 16) == ["One. Two.\n\nThree."]


def test_empty_text_is_one_empty_span():
    """An empty text is tiled by one empty span, as `Span` demands."""
    assert Chunker(tokenizer=Words(), tokens_max=16).spans("") == (Span(start=0, end=0),)


def test_cuts_at_paragraphs_first():
    """A paragraph's end wins over a sentence's end that is nearer to the middle."""
    first, second = "a b c d e f. g h i.\n\n", "j k l m n o p q r s."
    assert cut(first + second, 16) == [first, second]


def test_cuts_at_english_sentences():
    """Without paragraphs the cut falls behind a full stop and its blank, never inside 3.14."""
    first, second = 'a b c d e "f 3.14 g h." ', "i j k l m n o p q r"
    assert cut(first + second, 16) == [first, second]


def test_cuts_at_chinese_sentences():
    """Chinese sentence ends need no blank behind them, and take their closing quote along."""
    first, second = "消费者说：“七日内有权退货。”", "经营者应当在收到退货后退款。"
    assert cut(first + second, 16) == [first, second]


@pytest.mark.parametrize("mark", ["。", "！", "？", "；", "…", ". ", "! ", "? ", "\n"])
def test_every_sentence_mark_is_a_cut(mark: str):
    """Both languages' marks, and a line's end, are places to cut at."""
    first, second = "甲乙丙丁戊己庚辛壬" + mark, "子丑寅卯辰巳午未申酉"
    assert cut(first + second, 16) == [first, second]


def test_cuts_between_words_where_there_is_no_sentence():
    """A text without marks is cut between words, into parts of about equal size."""
    words = " ".join(f"w{number}" for number in range(40))
    parts = cut(words, 16)
    assert [len(part.split()) for part in parts] == [14, 13, 13]
    assert "".join(parts) == words


def test_no_stray_last_piece():
    """One token too many makes two halves, not a full chunk and a crumb."""
    assert [len(part.split()) for part in cut(" ".join("abcdefghijklmnopq"), 16)] == [9, 8]


def test_title_counts_in_every_chunk():
    """The bound is on what the models read: title, line end and text."""
    title = "one two three four five six"
    parts = cut(" ".join("abcdefghijklmnopqrstuvwxyz"), 16, title)
    assert len(parts) > 2
    assert all(len(Words().ids(passage_of(title, part))) <= 16 for part in parts)


def test_long_title_leaves_a_quarter_to_the_text():
    """A title that fills the bound alone does not push the text out, nor cut it to crumbs."""
    title = " ".join(["title"] * 30)
    assert [len(part.split()) for part in cut("a b c d", 16, title)] == [4]
    assert [len(part.split()) for part in cut("a b c d e f", 16, title)] == [2, 2, 2]


@pytest.mark.parametrize("unit", ["👍🏽", "🏳️‍🌈", "🇨🇳", "e\u0301", "क्षि"])
def test_a_visible_character_is_not_torn(byte_pairs: PlainTokenizer, unit: str):
    """Emoji sequences, flags and accents stay whole, though nothing but tokens is left to cut at."""
    text = unit * 40
    spans = Chunker(tokenizer=byte_pairs, tokens_max=40).spans(text)
    assert len(spans) > 1
    assert all(span.start % len(unit) == 0 for span in spans)


@settings(max_examples=150, deadline=None)
@given(text=PROSE, title=PROSE.map(lambda title: title[:12]), tokens_max=st.integers(16, 60))
def test_spans_tile_any_text_and_keep_the_bound(byte_pairs: PlainTokenizer, text: str, title: str, tokens_max: int):
    """Whatever the text: first starts at 0, each starts where the last ended, the last ends it, none is too long."""
    spans = Chunker(tokenizer=byte_pairs, tokens_max=tokens_max).spans(text, title)
    assert spans[0].start == 0
    assert spans[-1].end == len(text)
    assert all(left.end == right.start for left, right in itertools.pairwise(spans))
    assert "".join(pieces(text, spans)) == text
    assert len(spans) == 1 or all(span.start < span.end for span in spans)
    title_tokens = len(byte_pairs.ids(f"{title}\n")) if title else 0
    bound = max(tokens_max, title_tokens + tokens_max // 4)
    for span in spans:
        passage = passage_of(title, text[span.start : span.end])
        assert len(byte_pairs.ids(passage)) <= bound or span.end - span.start == 1


@settings(max_examples=30, deadline=None)
@given(text=PROSE)
def test_chunking_is_a_function_of_the_text(byte_pairs: PlainTokenizer, text: str):
    """Twice the same text, twice the same spans: a resumed run depends on it."""
    chunker = Chunker(tokenizer=byte_pairs, tokens_max=20)
    assert chunker.spans(text) == chunker.spans(text)


@settings(max_examples=30, deadline=None)
@given(texts=st.lists(st.tuples(PROSE.map(lambda title: title[:12]), PROSE), max_size=5))
def test_together_as_alone(byte_pairs: PlainTokenizer, texts: list[tuple[str, str]]):
    """Texts that are cut in one call are cut as each by itself: no window depends on its neighbours."""
    chunker = Chunker(tokenizer=byte_pairs, tokens_max=20)
    uncut = [Uncut(text=text, title=title) for title, text in texts]
    assert chunker.spans_of(uncut) == [chunker.spans(text, title) for title, text in texts]


@pytest.mark.parametrize("text", ["!" * 200_000, " " * 200_000, "\n" * 200_000, '!"' * 100_000, "。”" * 100_000])
def test_runs_of_marks_cost_one_pass(text: str):
    """A text made to provoke backtracking is cut in linear time."""
    began = time.monotonic()
    assert "".join(cut(text, 16)) == text
    assert time.monotonic() - began < 10
