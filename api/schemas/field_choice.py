"""Bodies' fields about fields: which attributes of documents are written before their text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, Field

from winnow.api.fields import Number
from winnow.retrieval.catalog.collections import KEEP, FieldsChange
from winnow.retrieval.document_fields import FieldChoice, check_fields
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.limits import FIELD_TOKENS_DEFAULT, FIELD_TOKENS_MAX, FIELD_TOKENS_MIN, FIELDS_MAX

RERANK_HELP: Final = (
    "Attributes that the reranker reads as `name: value` lines before title and text, in this order: title, url, id, "
    "or any field of the metadata. Attributes that a document lacks are left out."
)
EMBED_HELP: Final = "The same for the embedder. Cannot be changed while the collection has documents."
TOKENS_HELP: Final = (
    f"Maximum tokens of these lines, by default {FIELD_TOKENS_DEFAULT}. Lines that do not fit are left out; a value is "
    "cut only if its line alone is longer."
)


def _checked(names: list[str]) -> list[str]:
    try:
        check_fields(names, FIELD_TOKENS_DEFAULT)
    except InvalidRequest as refused:
        raise ValueError(refused.detail) from refused
    return names


FieldNames = Annotated[list[str], Field(max_length=FIELDS_MAX, examples=[["date", "source"]]), AfterValidator(_checked)]
RankFields = Annotated[
    list[str], Field(max_length=FIELDS_MAX), AfterValidator(lambda names: _checked([n for n in names if n != "text"]))
]
FieldTokens = Annotated[int, Field(ge=FIELD_TOKENS_MIN, le=FIELD_TOKENS_MAX), Number]


def choice_of(names: Sequence[str] | None, tokens: int | None) -> FieldChoice:
    """Return the choice that a body makes; None is the default."""
    return FieldChoice(names=tuple(names or ()), tokens_max=tokens or FIELD_TOKENS_DEFAULT)


def change_of(body: BaseModel, names: str, tokens: str) -> FieldsChange:
    """Return the change that a body asks for: fields that are left out stay, null is the default."""
    return FieldsChange(
        names=getattr(body, names) or () if names in body.model_fields_set else KEEP,
        tokens_max=getattr(body, tokens) or FIELD_TOKENS_DEFAULT if tokens in body.model_fields_set else KEEP,
    )
