"""Builds the exact prompts of Qwen3-Reranker as token ids, with the part that all passages share stored once.

    prefix   <|im_start|>system\\n ... <|im_end|>\\n<|im_start|>user\\n         scaffold
    head     <Instruct>: {instruction}\\n<Query>: {query}\\n<Document>:          plain
    tail      {passage}                                                        plain, with the space before it
    suffix   <|im_end|>\\n<|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n       scaffold

Rule 1: ids are joined, never text. User text is encoded by a tokenizer that knows no control tokens.
Rule 2: prefix and suffix are never cut. The passage is cut first, then the query, then the instruction.

A passage is title and text, with the chosen fields of its document before them (retrieval/document_fields.py).

Splitting the body between `<Document>:` and the space changes no id: the pre-tokenizer always splits there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from winnow.retrieval.document_fields import heads_of
from winnow.retrieval.errors import ModelUnusable
from winnow.retrieval.model.tokenizer import PlainTokenizer, ScaffoldTokenizer
from winnow.retrieval.records import FieldLines

PREFIX: Final = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
)
SUFFIX: Final = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
PROMPT_FORMAT: Final = "qwen3-reranker-1"  # in every cache key: change it with anything that could change an id
YES: Final = "yes"
NO: Final = "no"

_PASSAGE_SHARE: Final = 4  # a passage keeps at least a quarter of the room, however long query and instruction are
_QUERY_SHARE: Final = 8  # a query keeps at least an eighth, however long the instruction is


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """The prompts of one request. The prompt of passage i is `shared` followed by `tails[i]`."""

    shared: tuple[int, ...]
    tails: tuple[tuple[int, ...], ...]  # suffix included
    truncated: tuple[bool, ...]  # per passage: the prompt holds only its beginning
    segments: tuple[tuple[int, ...], ...] = ()  # token types of each tail, for models that read them; else empty

    @classmethod
    def joined(cls, parts: Sequence[Prompts]) -> Prompts:
        """Join prompts of one request that were built in parts."""
        return cls(
            shared=parts[0].shared,
            tails=tuple(tail for each in parts for tail in each.tails),
            truncated=tuple(was_cut for each in parts for was_cut in each.truncated),
            segments=tuple(types for each in parts for types in each.segments),
        )

    @property
    def tokens(self) -> int:
        """Tokens to compute when the shared part is computed once."""
        return len(self.shared) + sum(len(tail) for tail in self.tails)


class BuildsPrompts(Protocol):
    """Builds the prompts of one model. Any thread may use it."""

    @property
    def format(self) -> str:
        """Changes with anything that could change an id; in every cache key."""
        ...

    @property
    def tokens_max(self) -> int: ...

    @property
    def reads_instruction(self) -> bool:
        """Whether the instruction is in the prompt."""
        ...

    def heads(self, documents: Sequence[FieldLines]) -> list[str]:
        """Return what stands before each title and text: the fields, in at most a quarter of the room.

        A passage that is cut loses the end of its text, so it keeps its fields.
        """
        ...

    def begin(self, query: str, instruction: str) -> Callable[[Sequence[str]], Prompts]:
        """Encode what the passages of a request share. The result builds the prompts of some of its passages."""
        ...


class PromptBuilder:
    """The `BuildsPrompts` of Qwen3-Reranker. Pure."""

    format = PROMPT_FORMAT
    reads_instruction = True

    def __init__(self, plain: PlainTokenizer, scaffold: ScaffoldTokenizer, *, tokens_max: int) -> None:
        """`tokens_max` limits a whole prompt. Raises `ModelUnusable` if not even an empty prompt fits."""
        self.tokens_max = tokens_max
        self.scaffold = scaffold
        self._plain = plain
        self._prefix = scaffold.ids(PREFIX)
        self._suffix = scaffold.ids(SUFFIX)
        self._room = tokens_max - len(self._prefix) - len(self._suffix)
        if self._room < len(plain.ids(_head("", ""))) + _PASSAGE_SHARE * _QUERY_SHARE:
            raise ModelUnusable(f"a window of {tokens_max} tokens is too small for a query and a passage")

    @classmethod
    def load(cls, folder: Path, *, tokens_max: int) -> PromptBuilder:
        """Load the tokenizers of a model folder. Raises `ModelUnusable`."""
        return cls(PlainTokenizer.load(folder), ScaffoldTokenizer.load(folder), tokens_max=tokens_max)

    def heads(self, documents: Sequence[FieldLines]) -> list[str]:
        return heads_of(documents, self._plain, tokens_max=self._room // _PASSAGE_SHARE)

    def count(self, text: str) -> int:
        """Return how many tokens a text has as user text."""
        return len(self._plain.ids(text))

    def build(self, query: str, passages: Sequence[str], instruction: str) -> Prompts:
        """Build the prompts of these passages, in their order."""
        return self.after(self.head(query, instruction), passages)

    def begin(self, query: str, instruction: str) -> Callable[[Sequence[str]], Prompts]:
        return partial(self.after, self.head(query, instruction))

    def after(self, head: Sequence[int], passages: Sequence[str]) -> Prompts:
        """Build prompts after a `head` from `self.head`, for a request whose passages are built in parts."""
        room = self._room - len(head)
        found = self._plain.ids_batch([f" {passage}" for passage in passages])
        return Prompts(
            shared=(*self._prefix, *head),
            tails=tuple((*ids[:room], *self._suffix) for ids in found),
            truncated=tuple(len(ids) > room for ids in found),
        )

    def head(self, query: str, instruction: str) -> list[int]:
        """Encode instruction and query, cut only if they leave less than the passage's share of the room."""
        room = self._room - self._room // _PASSAGE_SHARE
        ids = self._plain.ids(_head(instruction, query))
        if len(ids) > room:
            least = self._room // _QUERY_SHARE
            query = self._fit(query, room, least, lambda beginning: _head(instruction, beginning))
            instruction = self._fit(instruction, room, 0, lambda beginning: _head(beginning, query))
            ids = self._plain.ids(_head(instruction, query))
        return ids[:room]

    def _fit(self, text: str, room: int, least: int, around: Callable[[str], str]) -> str:
        """Return the longest beginning of the text that fits inside `around`, or about `least` tokens of it.

        Token counts change where two texts meet, so each attempt is measured and repeated if it does not fit.
        """
        if len(self._plain.ids(around(text))) <= room:
            return text
        kept = max(least, room - len(self._plain.ids(around(""))))
        while True:
            beginning = self._truncate(text, kept)
            excess = len(self._plain.ids(around(beginning))) - room
            if excess <= 0 or kept == least:
                return beginning
            kept = max(least, kept - excess)

    def _truncate(self, text: str, tokens: int) -> str:
        """Return the longest beginning of at most `tokens` tokens that ends between two characters."""
        offsets = self._plain.offsets(text)
        return text if len(offsets) <= tokens else text[: offsets[tokens][0]]


def _head(instruction: str, query: str) -> str:
    return f"<Instruct>: {instruction}\n<Query>: {query}\n<Document>:"
