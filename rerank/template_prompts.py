"""Builds the prompts of a causal reranker from its template, as token ids.

The rules of rerank/prompt.py hold: control tokens come from the template alone, user text is encoded by a tokenizer
that knows none, and only user text is cut: the document first, then the query, then the instruction.

Text between two control tokens is encoded as one piece, except that the document starts a new one. Spaces before the
document and text behind it go with it, as byte-level tokenizers want it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from winnow.rerank.instruction import DEFAULT_INSTRUCTION
from winnow.rerank.prompt import Prompts
from winnow.retrieval.document_fields import heads_of
from winnow.retrieval.errors import ModelUnusable
from winnow.retrieval.model.folder import ModelFolder
from winnow.retrieval.model.prompt_template import VARIABLE, PromptTemplate
from winnow.retrieval.model.tokenizer import PlainTokenizer, ScaffoldTokenizer
from winnow.retrieval.records import FieldLines

_DOCUMENT: Final = "{document}"
_DOCUMENT_SHARE: Final = 4  # a document keeps at least a quarter of the room
_QUERY_SHARE: Final = 8  # a query keeps at least an eighth
_ROOM_MIN: Final = 32  # tokens of user text


class TemplatePrompts:
    """The `BuildsPrompts` of a `PromptTemplate`. Pure."""

    def __init__(
        self, template: PromptTemplate, plain: PlainTokenizer, scaffold: ScaffoldTokenizer, *, tokens_max: int
    ) -> None:
        """Raises `ModelUnusable` if the template leaves no room for a query and a document."""
        self.tokens_max = tokens_max
        self.format = template.format
        self.reads_instruction = template.reads_instruction
        self._template = template
        self._plain = plain
        self._scaffold = scaffold
        names = sorted(scaffold.control_names, key=len, reverse=True)
        self._control = re.compile("|".join(map(re.escape, names))) if names else None
        empty = {"query": "", "instruction": "", "document": ""}
        texts = filter(None, (template.text, template.plain))
        self._room = min(tokens_max - len(self._ids(text, empty)) for text in texts)
        if self._room < _ROOM_MIN:
            raise ModelUnusable(f"a window of {tokens_max} tokens is too small for the template of the reranker")

    @classmethod
    def load(cls, folder: ModelFolder, template: PromptTemplate, *, tokens_max: int) -> TemplatePrompts:
        """Load the tokenizers of a model folder. Raises `ModelUnusable`."""
        return cls(
            template, PlainTokenizer.load(folder.path), ScaffoldTokenizer.load(folder.path), tokens_max=tokens_max
        )

    def answer_token(self, text: str) -> int:
        """Id of an answer token. Raises `ModelUnusable` if the text is not exactly one token."""
        ids = self._scaffold.ids(text)
        if len(ids) != 1:
            raise ModelUnusable(f"the answer {text!r} of the prompt is {len(ids)} tokens of this model; it must be one")
        return ids[0]

    def heads(self, documents: Sequence[FieldLines]) -> list[str]:
        return heads_of(documents, self._plain, tokens_max=self._room // _DOCUMENT_SHARE)

    def begin(self, query: str, instruction: str) -> Callable[[Sequence[str]], Prompts]:
        is_plain = self._template.plain is not None and instruction == DEFAULT_INSTRUCTION
        text = (self._template.plain or "") if is_plain else self._template.text
        before, _, after = text.partition(_DOCUMENT)
        head = before.rstrip(" ")
        follow = self._pieces(after)[0][0]
        suffix = self._ids(after[len(follow) :], {})
        values = self._fitted(head, self._ids(after, {}), query=query, instruction=instruction)
        return partial(self._after, self._ids(head, values), before[len(head) :], follow, suffix)

    def _after(
        self, shared: Sequence[int], lead: str, follow: str, suffix: Sequence[int], passages: Sequence[str]
    ) -> Prompts:
        """`lead` and `follow` are encoded together with a passage; of one that is too long the beginning is."""
        room = max(1, self.tokens_max - len(shared) - len(suffix))
        found = self._plain.ids_batch([f"{lead}{passage}{follow}" for passage in passages])
        end = self._plain.ids(follow) if follow else []
        tails = [
            ids if len(ids) <= room else [*self._plain.ids(f"{lead}{passage}")[: max(0, room - len(end))], *end]
            for ids, passage in zip(found, passages, strict=True)
        ]
        return Prompts(
            shared=tuple(shared),
            tails=tuple((*tail, *suffix) for tail in tails),
            truncated=tuple(len(ids) > room for ids in found),
        )

    def _fitted(self, head: str, suffix: Sequence[int], *, query: str, instruction: str) -> Mapping[str, str]:
        """Cut query, then instruction, if they leave the document less than its share of the room."""
        empty = {"query": "", "instruction": ""}
        free = self.tokens_max - len(self._ids(head, empty)) - len(suffix)
        limit = self.tokens_max - len(suffix) - free // _DOCUMENT_SHARE
        values = {"query": query, "instruction": instruction}
        for name, least in (("query", free // _QUERY_SHARE), ("instruction", 0)):
            if f"{{{name}}}" in head:
                others = len(self._ids(head, values | {name: ""}))
                values[name] = self._truncate(values[name], max(least, limit - others))
        return values

    def _truncate(self, text: str, tokens: int) -> str:
        offsets = self._plain.offsets(text)
        return text if len(offsets) <= tokens else text[: offsets[tokens][0]]

    def _ids(self, text: str, values: Mapping[str, str]) -> list[int]:
        """Encode a part of the template with the values filled in."""
        ids: list[int] = []
        for piece, is_control in self._pieces(text):
            if is_control:
                ids += self._scaffold.ids(piece)
            elif piece:
                ids += self._plain.ids(VARIABLE.sub(lambda found: values[found[1]], piece))
        return ids

    def _pieces(self, text: str) -> Sequence[tuple[str, bool]]:
        """Split at the control tokens of the template's own text."""
        if self._control is None:
            return [(text, False)]
        found: list[tuple[str, bool]] = []
        start = 0
        for control in self._control.finditer(text):
            found += [(text[start : control.start()], False), (control[0], True)]
            start = control.end()
        return [*found, (text[start:], False)]
