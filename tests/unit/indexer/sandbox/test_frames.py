"""Frames: what was written is read, and whatever else is read is refused."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.indexer.corpus import Refused, refusal
from winnow.indexer.sandbox.frames import (
    HEADER,
    Malformed,
    decode_outcome,
    decode_task,
    encode_outcome,
    encode_task,
)
from winnow.indexer.sandbox.outcomes import Ended, Member, Opened, Outcome, Skipped, Task
from winnow.retrieval.records import Document, Location, Part, PartKind

OWNER = "a.pdf"
WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=5,
)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    texts = draw(st.lists(WORDS, max_size=4))
    parts, end = [], 0
    for text in texts:
        place = Location(page=draw(st.none() | st.integers(1, 9)), sheet=draw(st.none() | WORDS))
        section, kind = tuple(draw(st.lists(WORDS, max_size=2))), draw(st.sampled_from(PartKind))
        parts.append(
            Part(start=end, end=end + len(text), kind=kind, section=section, header=draw(WORDS), location=place)
        )
        end += len(text)
    return Document(
        id=OWNER + draw(st.sampled_from(["", "#1", "/x.txt"])),
        text="".join(texts),
        title=draw(WORDS),
        url=draw(st.none() | WORDS),
        metadata=draw(st.dictionaries(WORDS, JSON, max_size=3)),
        parts=tuple(parts),
    )


OUTCOMES = st.one_of(
    documents(),
    st.builds(Refused, reason=WORDS, id=st.sampled_from([None, OWNER, f"{OWNER}#2"])),
    st.builds(Ended, reason=st.none() | WORDS.filter(bool)),
    st.builds(Opened, format=WORDS),
    st.builds(Member, number=st.integers(0, 99), name=st.just(f"{OWNER}/x")),
    st.builds(Skipped, ending=WORDS.map(lambda word: word[:16]), count=st.integers(0, 99)),
)


def body(frame: bytes) -> bytes:
    (length,) = HEADER.unpack(frame[: HEADER.size])
    assert len(frame) == HEADER.size + length
    return frame[HEADER.size :]


@given(OUTCOMES)
def test_an_outcome_survives_the_pipe(outcome: Outcome):
    """Every field of every kind."""
    assert decode_outcome(body(encode_outcome(outcome)), owner=OWNER) == outcome


@given(st.binary(max_size=50) | JSON.map(orjson.dumps))
def test_anything_else_is_malformed(content: bytes):
    """And nothing but that is raised."""
    with pytest.raises(Malformed):
        decode_outcome(content, owner=OWNER)


@pytest.mark.parametrize(
    "changed",
    [
        {"id": "b.pdf"}, {"id": "a.pdfx"}, {"id": None}, {"text": 7}, {"metadata": []}, {"url": 1}, {"title": None},
        {"parts": [{"start": 1, "end": 4}]}, {"parts": 3},
        {"parts": [{"start": 0, "end": 3, "kind": "prose", "section": [], "header": "", "location": {}}]},
        {"parts": [{"start": 0, "end": 4, "kind": "verse", "section": [], "header": "", "location": {}}]},
        {"parts": [{"start": 0, "end": 4, "kind": "prose", "section": [], "header": "", "location": {"page": "1"}}]},
        {"parts": [{"start": 0, "end": 4, "kind": "prose", "section": [], "header": "", "location": {"planet": 1}}]},
        {"parts": [{"start": True, "end": 4, "kind": "prose", "section": [], "header": "", "location": {}}]},
    ],
)  # fmt: skip
def test_a_document_with_a_field_that_does_not_fit_is_malformed(changed: dict[str, Any]):
    """An id of another file; parts that do not tile the text; a location that no format has."""
    sound = {"id": OWNER, "text": "text", "title": "", "url": None, "metadata": {}, "parts": []}
    assert decode_outcome(orjson.dumps({"document": sound}), owner=OWNER) == Document(id=OWNER, text="text")
    with pytest.raises(Malformed):
        decode_outcome(orjson.dumps({"document": {**sound, **changed}}), owner=OWNER)


def test_what_no_text_has_is_replaced_and_the_places_stay():
    """Half of a surrogate pair, NUL: one character each."""
    document = Document(id=OWNER, text="a\ud83db\0c", title="\0", metadata={"\ud800": ["\udfff"]})
    assert decode_outcome(body(encode_outcome(document)), owner=OWNER) == Document(
        id=OWNER, text="a\ufffdb\ufffdc", title="\ufffd", metadata={"\ufffd": ["\ufffd"]}
    )


def test_many_nul_characters_stay_and_are_refused():
    """A program that is named like a text is no text."""
    binary = decode_outcome(body(encode_outcome(Document(id=OWNER, text="\0" * 50 + "\ud800"))), owner=OWNER)
    assert isinstance(binary, Document)
    assert "NUL character" in (refusal(binary) or "")


def test_any_bytes_are_a_path():
    """The system's paths need not be UTF-8."""
    task = Task(path="/caf\udce9/合同.pdf", name="x", broken=(1, 2))
    assert decode_task(body(encode_task(task))) == task
