"""What a reranker is told to look for, and what an instruction may be."""

from __future__ import annotations

from typing import Final

from winnow.retrieval.errors import InvalidRequest, LimitExceeded
from winnow.retrieval.limits import INSTRUCTION_CHARACTERS_MAX

# The model card's. Its authors advise English instructions even for other languages.
DEFAULT_INSTRUCTION: Final = "Given a web search query, retrieve relevant passages that answer the query"


def checked_instruction(text: str) -> str:
    """The same text, fit to be published or used. Raises `InvalidRequest`, `LimitExceeded`."""
    if not text.strip():
        raise InvalidRequest("the instruction is empty")
    if "\0" in text:
        raise InvalidRequest("the instruction holds a NUL character")
    if len(text) > INSTRUCTION_CHARACTERS_MAX:
        raise LimitExceeded(
            f"the instruction has {len(text)} characters; {INSTRUCTION_CHARACTERS_MAX} are allowed, "
            "because it is read again for every request"
        )
    return text
