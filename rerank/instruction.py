"""The default instruction and the rules for instruction texts."""

from __future__ import annotations

from typing import Final

from winnow.retrieval.errors import InvalidRequest, LimitExceeded
from winnow.retrieval.limits import INSTRUCTION_CHARACTERS_MAX

# From the model card. Its authors recommend English instructions even for other languages.
DEFAULT_INSTRUCTION: Final = "Given a web search query, retrieve relevant passages that answer the query"


def check_instruction(text: str) -> str:
    """Return the text if it may be published or used. Raises `InvalidRequest`, `LimitExceeded`."""
    if not text.strip():
        raise InvalidRequest("the instruction is empty")
    if "\0" in text:
        raise InvalidRequest("the instruction contains a NUL character")
    if len(text) > INSTRUCTION_CHARACTERS_MAX:
        raise LimitExceeded(
            f"the instruction has {len(text)} characters; the limit is {INSTRUCTION_CHARACTERS_MAX}, "
            "because every request reads it again"
        )
    return text
