"""Chunking of documents with parts: no chunk crosses a part's end, rows and lines stay whole, headers repeat."""

from __future__ import annotations

import itertools
import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.tiny_models import write_embedder
from tests.unit.indexer.cut_before_parts import ends_before
from tests.unit.indexer.test_chunking import PROSE, Words
from winnow.indexer.chunking import Chunker, Uncut
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.records import Part, PartKind, Span, passage_head

LINES = st.lists(
    st.text(alphabet="ab c,|.é退👍\u0301 ", max_size=60).map(lambda line: f"{line}\n"), min_size=1, max_size=30
).map("".join)
WORDS = Words()


@pytest.fixture(scope="module")
def byte_pairs(tmp_path_factory: pytest.TempPathFactory) -> PlainTokenizer:
    return PlainTokenizer.load(write_embedder(tmp_path_factory.mktemp("models") / "embed"))


@st.composite
def documents(draw: st.DrawFn) -> Uncut:
    """Documents of up to five parts of all kinds, with headings and headers of any length."""
    texts: list[str] = []
    parts: list[Part] = []
    start = 0
    for _ in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(PartKind))
        text = draw((PROSE if kind is PartKind.PROSE else LINES).filter(bool))
        section = draw(st.lists(st.text(alphabet="abc 退", max_size=12), max_size=3))
        header = draw(st.text(alphabet="ab|退 ", max_size=20)) if kind is PartKind.ROWS else ""
        parts.append(Part(start=start, end=start + len(text), kind=kind, section=tuple(section), header=header))
        texts.append(text)
        start += len(text)
    return Uncut(text="".join(texts), title=draw(st.sampled_from(["", "A title", "退货"])), parts=tuple(parts))


def part_of(uncut: Uncut, span: Span) -> Part:
    return next(part for part in uncut.parts if part.start <= span.start and span.end <= part.end)


@settings(max_examples=200, deadline=None)
@given(uncut=documents(), tokens_max=st.integers(16, 60))
def test_spans_tile_and_keep_to_parts_and_bound(byte_pairs: PlainTokenizer, uncut: Uncut, tokens_max: int):
    """Spans tile the text, none crosses a part's end, and passages with headings and header keep the bound."""
    (spans,) = Chunker(tokenizer=byte_pairs, tokens_max=tokens_max).spans_of([uncut])
    assert (spans[0].start, spans[-1].end) == (0, len(uncut.text))
    assert all(left.end == right.start for left, right in itertools.pairwise(spans))
    for span in spans:
        part = part_of(uncut, span)
        head = uncut.head(part.section, part.header if span.start > part.start else "")
        with_header = uncut.head(part.section, part.header)
        bound = max(tokens_max, (len(byte_pairs.ids(with_header)) if with_header else 0) + tokens_max // 4)
        tokens = len(byte_pairs.ids(head + uncut.text[span.start : span.end]))
        assert tokens <= bound or span.end - span.start == 1


@settings(max_examples=200, deadline=None)
@given(uncut=documents(), tokens_max=st.integers(16, 60))
def test_lines_are_cut_only_if_one_alone_is_too_long(byte_pairs: PlainTokenizer, uncut: Uncut, tokens_max: int):
    """Chunks of rows and of code end at line ends. One that does not lies within a line that is too long alone."""
    (spans,) = Chunker(tokenizer=byte_pairs, tokens_max=tokens_max).spans_of([uncut])
    for span in spans:
        part = part_of(uncut, span)
        if part.kind is PartKind.PROSE or span.end == part.end or uncut.text[span.end - 1] == "\n":
            continue
        begin = max(part.start, uncut.text.rfind("\n", 0, span.end) + 1)
        if not uncut.text[part.start : begin].strip():
            begin = part.start  # blank lines stay with the first line, and with the line above
        end = uncut.text.find("\n", span.end) + 1
        end += re.match(r"(?:[^\S\n]*\n)*", uncut.text[end : part.end]).end()  # type: ignore[union-attr]
        line = uncut.text[begin:end]
        room = tokens_max - len(byte_pairs.ids(uncut.head(part.section, part.header) or " "))
        assert len(byte_pairs.ids(line)) > max(room, tokens_max // 4) - 4, line


@settings(max_examples=200, deadline=None)
@given(text=PROSE, title=PROSE.map(lambda title: title[:12]), tokens_max=st.integers(16, 60))
def test_texts_without_parts_are_cut_as_before(byte_pairs: PlainTokenizer, text: str, title: str, tokens_max: int):
    """To the character: their vectors and scores stay what they were."""
    spans = Chunker(tokenizer=byte_pairs, tokens_max=tokens_max).spans(text, title)
    assert [span.end for span in spans] == ends_before(text, title, tokenizer=byte_pairs, tokens_max=tokens_max)


def test_a_part_of_prose_is_cut_like_a_text_of_its_own():
    """A part has no neighbours: the cuts in it depend on nothing before or after it."""
    first, second = "a b c d e f. " * 5, "g h. i j. " * 9
    text = first + second
    parts = (Part(start=0, end=len(first)), Part(start=len(first), end=len(text)))
    chunker = Chunker(tokenizer=WORDS, tokens_max=16)
    alone = chunker.spans_of([Uncut(text=first), Uncut(text=second)])
    moved = [Span(start=span.start + len(first), end=span.end + len(first)) for span in alone[1]]
    assert list(chunker.spans(text, parts=parts)) == [*alone[0], *moved]


def test_rows_share_chunks_evenly_below_their_header():
    """Twenty rows of four words, a header of three, 16 tokens: three rows and the header fit in a chunk."""
    text = "".join(f"r{number} a b c\n" for number in range(20))
    part = Part(start=0, end=len(text), kind=PartKind.ROWS, header="id x y")
    spans = Chunker(tokenizer=WORDS, tokens_max=16).spans(text, parts=(part,))
    rows = [text[span.start : span.end].splitlines() for span in spans]
    assert all(len(row.split()) == 4 for chunk in rows for row in chunk)
    assert {len(chunk) for chunk in rows} <= {1, 2, 3}
    assert len(rows) <= 10
    for span in spans[1:]:
        assert len(WORDS.ids(passage_head("", (), part.header) + text[span.start : span.end])) <= 16


def test_a_row_too_long_is_cut_alone():
    """A row of forty words is cut as prose; its neighbours stay whole and share no chunk with it."""
    long = " ".join(f"w{number}" for number in range(40))
    text = f"a b\nc d\n{long}\ne f\n"
    part = Part(start=0, end=len(text), kind=PartKind.ROWS)
    chunks = [
        text[span.start : span.end] for span in Chunker(tokenizer=WORDS, tokens_max=16).spans(text, parts=(part,))
    ]
    assert chunks[0] == "a b\nc d\n"
    assert chunks[-1] == "e f\n"
    assert "".join(chunks[1:-1]) == f"{long}\n"
    assert len(chunks) > 4


def test_code_is_cut_at_blank_lines_before_other_lines():
    """A blank line wins over a line end that is nearer to the middle."""
    first, second = "a b\nc d\ne f\n\n", "g h\ni j\nk l\nm n\no p\n"
    part = Part(start=0, end=len(first + second), kind=PartKind.CODE)
    spans = Chunker(tokenizer=WORDS, tokens_max=16).spans(first + second, parts=(part,))
    assert [(first + second)[span.start : span.end] for span in spans] == [first, second]


@pytest.mark.parametrize("kind", PartKind)
@pytest.mark.parametrize("unit", ["\n", " \n", "a\n", "ab " * 30 + "\n", "é", " "])
def test_long_parts_cost_one_pass(kind: PartKind, unit: str):
    """No text makes cutting quadratic, nor endless."""
    text = (unit * 200_000)[:200_000]
    began = time.monotonic()
    spans = Chunker(tokenizer=WORDS, tokens_max=16).spans(text, parts=(Part(start=0, end=len(text), kind=kind),))
    assert "".join(text[span.start : span.end] for span in spans) == text
    assert time.monotonic() - began < 10


@settings(max_examples=30, deadline=None)
@given(uncut=st.lists(documents(), max_size=3))
@example(uncut=[])
def test_together_as_alone(byte_pairs: PlainTokenizer, uncut: list[Uncut]):
    """Documents that are cut in one call are cut as each by itself."""
    chunker = Chunker(tokenizer=byte_pairs, tokens_max=20)
    assert chunker.spans_of(uncut) == [chunker.spans_of([each])[0] for each in uncut]
