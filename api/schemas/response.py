"""The base of every answer, and the type of JSON in it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

Json = dict[str, Any]


class ResponseModel(BaseModel):
    """A body of ours: every field is always there, and no other."""

    model_config = ConfigDict(extra="forbid")
