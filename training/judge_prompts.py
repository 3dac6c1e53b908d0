"""Assembles the reranker's prompt from ids that were tokenised before training.

The scaffold's text is the product's (rerank.prompt). Its pieces are tokenised separately, because instruction, query
and passages are drawn separately, and tokenising six passages per list again would cost more than the training step. So
two places differ from the product: it writes a space before a passage, and if an instruction or a query ends in a full
stop or question mark, that mark and the following line break are one token.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from training.sequences import Ids
from winnow.rerank.prompt import NO, PREFIX, SUFFIX, YES
from winnow.retrieval.model.tokenizer import PlainTokenizer, ScaffoldTokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompting:
    plain: PlainTokenizer
    prefix: list[int]
    suffix: Ids
    before_query: Ids
    before_document: Ids
    yes: int
    no: int
    # Scaffold tokens that the hand-written start looks for.
    start: int
    query_mark: int
    document_mark: int
    _instructions: dict[str, Ids] = field(default_factory=dict)

    @classmethod
    def load(cls, tokenizer: Path) -> Prompting:
        plain, scaffold = PlainTokenizer.load(tokenizer), ScaffoldTokenizer.load(tokenizer)
        before_query, before_document = plain.ids("\n<Query>:"), plain.ids("\n<Document>:")
        return cls(
            plain=plain,
            prefix=scaffold.ids(PREFIX),
            suffix=np.array(scaffold.ids(SUFFIX), dtype=np.int64),
            before_query=np.array(before_query, dtype=np.int64),
            before_document=np.array(before_document, dtype=np.int64),
            yes=scaffold.token_id(YES),
            no=scaffold.token_id(NO),
            start=scaffold.token_id("<|im_start|>"),
            query_mark=before_query[2],  # after the line break and "<"
            document_mark=before_document[2],
        )

    def shared(self, instruction: str, query: Ids) -> Ids:
        """The prefix of all passages of a list. `query` begins with its space."""
        if instruction not in self._instructions:
            told = [*self.prefix, *self.plain.ids(f"<Instruct>: {instruction}")]
            self._instructions[instruction] = np.array(told, dtype=np.int64)
        return np.concatenate([self._instructions[instruction], self.before_query, query, self.before_document])

    def tail(self, passage: Ids) -> Ids:
        return np.concatenate([passage, self.suffix])
