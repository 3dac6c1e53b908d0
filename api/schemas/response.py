"""The base of every answer, and the place of a chunk, which several show."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict  # pydantic reads the one of `typing` from Python 3.12 on only


@with_config(ConfigDict(extra="forbid"))
class JsonObject(TypedDict):
    """A JSON object in an answer: every key that its class declares, and no other.

    The class is the one definition of the answer. OpenAPI shows it, and mypy checks the dict that a function returns
    against it, key by key. At run time the answer is that dict: nothing is validated, copied or converted.
    """


class ChunkPlace(JsonObject):
    """Where a chunk lies in its document: characters (code points), half-open."""

    ordinal: Annotated[int, Field(description="0 for the document's first chunk.")]
    start: int
    end: int
