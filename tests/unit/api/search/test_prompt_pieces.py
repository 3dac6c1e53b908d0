"""Every token of a prompt belongs to one part, and the pieces are the prompt."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.api.library.instructions import applied_text
from winnow.api.search.preview import Preview, PreviewedPassage, build_preview
from winnow.api.search.prompt_pieces import PromptPart
from winnow.rerank.prompt import PREFIX, SUFFIX, PromptBuilder
from winnow.retrieval.records import FieldLines

MODEL = Path(__file__).resolve().parents[4] / "data" / "models" / "winnow-rerank"
FIELDS = FieldLines(lines=("date: 2024", "source: 博客"), tokens_max=64)
CHARACTERS = st.characters(exclude_categories=("Cs",), exclude_characters="\0")
TEXTS = st.text(alphabet=CHARACTERS, min_size=1, max_size=40).filter(str.strip)


@pytest.fixture(scope="module")
def prompts() -> PromptBuilder:
    return PromptBuilder.load(MODEL, tokens_max=1024)


def preview(prompts: PromptBuilder, instruction: str, query: str, text: str, fields: FieldLines = FIELDS) -> Preview:
    passage = PreviewedPassage(text=text, fields=fields)
    return build_preview(prompts, applied_text(instruction), model="m", query=query, passage=passage)


def parts(found: Preview) -> list[tuple[PromptPart, str]]:
    grouped = groupby(found.pieces, key=lambda each: each.part)
    return [(part, "".join(each.text for each in pieces)) for part, pieces in grouped]


def test_each_part_has_its_text(prompts: PromptBuilder) -> None:
    """Also where a text looks like a label, and where a character needs several tokens."""
    found = preview(prompts, "Prefer 中文.\n<Query>: x", "where is 🜚?", "It is here. 𠮷")
    assert parts(found) == [
        (PromptPart.PREFIX, PREFIX),
        (PromptPart.LABEL, "<Instruct>:"),
        (PromptPart.INSTRUCTION, " Prefer 中文.\n<Query>: x"),
        (PromptPart.LABEL, "\n<Query>:"),
        (PromptPart.QUERY, " where is 🜚?\n"),  # one token of the vocabulary
        (PromptPart.LABEL, "<Document>:"),
        (PromptPart.FIELDS, " date: 2024\nsource: 博客\n\n"),
        (PromptPart.DOCUMENT, "It is here. 𠮷"),
        (PromptPart.SUFFIX, SUFFIX),
    ]


def test_a_text_that_was_cut_is_not_taken_apart(prompts: PromptBuilder) -> None:
    """Where the instruction would end is not known, so nothing claims it."""
    found = parts(preview(prompts, "long " * 800, "query " * 800, "text"))
    assert [part for part, _ in found] == ["prefix", "label", "fields", "document", "suffix"]


@given(instruction=TEXTS, query=TEXTS, text=TEXTS)
def test_the_pieces_are_the_prompt(prompts: PromptBuilder, instruction: str, query: str, text: str) -> None:
    """Token for token and character for character."""
    found = preview(prompts, instruction, query, text, FieldLines(lines=(), tokens_max=64))
    assert sum(each.tokens for each in found.pieces) == len(found.ids)
    if "\ufffd" not in found.text:
        assert "".join(each.text for each in found.pieces) == found.text
