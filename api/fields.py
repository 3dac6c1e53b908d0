"""Field types shared by several bodies, and the messages for wrong fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
)

from winnow.retrieval.catalog.instructions import Reference, Value
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.filters.grammar import Filter, Joint, Op, parse_filter
from winnow.retrieval.limits import (
    COLLECTION_NAME_PATTERN,
    INSTRUCTION_CHARACTERS_MAX,
    QUERY_CHARACTERS_MAX,
    SEARCHED_NAME_PATTERN,
    TENANT_NAME_PATTERN,
    TIMEOUT_MS_MAX,
)


def describe_fields(refused: list[Mapping[str, Any]]) -> str:
    """Describe what is wrong with the first fields."""
    said = "; ".join(_sentence(path_of(each["loc"]), each) for each in refused[:FIELDS_NAMED_MAX])
    return said + (f"; and {len(refused) - FIELDS_NAMED_MAX} more" if len(refused) > FIELDS_NAMED_MAX else "")


FIELDS_NAMED_MAX: Final = 5  # fields; a body of a thousand bad documents would be answered with a megabyte


def path_of(location: tuple[str | int, ...]) -> str:
    """`("body", "documents", 3, "id")` -> `documents.3.id`; names of union members are internal."""
    return ".".join(str(step) for step in location if step != "body" and not str(step)[:1].isupper())


def _sentence(path: str, refused: Mapping[str, Any]) -> str:
    kind = refused["type"]
    if kind == "extra_forbidden":
        return f"the field '{path}' is unknown"
    if kind == "missing":
        return f"the field '{path}' is missing" if path else "the body is missing"
    if kind == "json_invalid":
        return "the body is not valid JSON"
    said = _describe_expectation(kind, refused.get("ctx", {})) or refused["msg"].removeprefix(
        "Value error, "
    )  # from our validators
    return f"'{path}': {said}" if path else said


NAME_SAID: Final = "a name has 1 to 63 of the characters a-z, 0-9, - and _, and begins with a letter or a digit"
PATTERNS_SAID: Final[Mapping[str, str]] = {
    SEARCHED_NAME_PATTERN: f"{NAME_SAID}; OWNER/NAME names a granted collection",
    TENANT_NAME_PATTERN: NAME_SAID,
    COLLECTION_NAME_PATTERN: NAME_SAID,
}
TYPES_SAID: Final[Mapping[str, str]] = {
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), "an object"),
    **dict.fromkeys(("list_type", "set_type", "frozen_set_type", "tuple_type"), "a list"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing", "finite_number"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    "string_type": "a text",
}


def _describe_expectation(kind: str, context: Mapping[str, Any]) -> str | None:
    """Rewrite pydantic's messages in terms of Python or regular expressions; None for others."""
    if kind in TYPES_SAID:
        return f"{TYPES_SAID[kind]} is expected"
    if kind in {"enum", "literal_error"}:
        allowed = re.sub(r"<[\w.]+: ('[^']*')>", r"\1", context["expected"])
        return f"{allowed} is expected"
    if kind == "string_pattern_mismatch":
        return PATTERNS_SAID.get(context["pattern"])
    if kind == "too_short":
        return f"the minimum number of entries is {context['min_length']}"
    if kind == "too_long":
        return f"the maximum number of entries is {context['max_length']}"
    return None


REFERENCE_CHARACTERS_MAX: Final = 128  # NAME@VERSION of an instruction; a name has at most 63, or 71 with builtin/
VERSION_MAX: Final = 10**9 - 1  # of an instruction; fits both databases

Body = TypeVar("Body", bound=BaseModel)


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("it must not be blank")
    return value


NotBlank: Final = AfterValidator(_not_blank)
CollectionName = Annotated[str, Field(pattern=COLLECTION_NAME_PATTERN, examples=["handbook"])]
SearchedName = Annotated[str, Field(pattern=SEARCHED_NAME_PATTERN, examples=["handbook", "library/handbook"])]
QueryText = Annotated[str, Field(max_length=QUERY_CHARACTERS_MAX, examples=["how do I undo a commit?"]), NotBlank]
InstructionText = Annotated[str, Field(max_length=INSTRUCTION_CHARACTERS_MAX), NotBlank]


def _absent_if_empty(value: object) -> object:
    """Read an empty text as null: form-driven applications send it for a field that nobody filled in."""
    return None if isinstance(value, str) and not value.strip() else value


AbsentIfEmpty: Final = BeforeValidator(_absent_if_empty)
RerankerName = Annotated[str, Field(min_length=1, examples=["winnow-rerank"])]


def _number(value: object) -> object:
    """Refuse anything but numbers; None passes, for fields that may be null."""
    if isinstance(value, bool) or not (value is None or isinstance(value, int | float)):
        raise ValueError("a number is expected, without quotes")
    return value


Number: Final = BeforeValidator(_number)  # for every int and float of a body: true is not 1, and "3" is not 3
TimeoutMs = Annotated[int, Field(ge=1, le=TIMEOUT_MS_MAX), Number]


def _filter(value: Any) -> Filter:
    try:
        return parse_filter(value)
    except InvalidRequest as refused:
        raise ValueError(refused.detail) from refused


def _filter_if_any(value: Any) -> Filter | None:
    return None if value is None else _filter(value)


FILTER_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "enum": [*(op.value for op in Op), *(joint.value for joint in Joint)]},
        "key": {"type": "string", "description": "Attribute of a document's metadata; not with and, or."},
        "value": {"description": "Boolean, number or text; a list of them for in and nin; null for eq and ne."},
        "filters": {
            "type": "array",
            "items": {"type": "object", "additionalProperties": True, "description": "A filter like this one."},
            "description": "Only with and, or.",
        },
    },
    "required": ["type"],
    "examples": [{"type": "gte", "key": "year", "value": 2020}],
}
FilterChoice = Annotated[Any, PlainValidator(_filter), WithJsonSchema(FILTER_SCHEMA)]  # a `Filter`
MaybeFilter = Annotated[  # or None; with a union, each mistake would be reported twice
    Any, PlainValidator(_filter_if_any), WithJsonSchema({"anyOf": [FILTER_SCHEMA, {"type": "null"}]})
]


def _variable_value(value: Any) -> Value:
    """Refuse values that fit no variable; whether one fits its variable is checked later."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("a value must be a string or an integer")  # noqa: TRY004  pydantic expects a ValueError
    return value


VariableValue = Annotated[  # a `Value`; with a union, each mistake would be reported twice
    Any, PlainValidator(_variable_value), WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer"}]})
]


def _reference(said: str) -> str:
    try:
        return str(Reference.of(said))
    except InvalidRequest as refused:
        raise ValueError(refused.detail) from refused


InstructionReference = Annotated[
    str,
    Field(max_length=REFERENCE_CHARACTERS_MAX, examples=["chinese-first", "legal@2"]),
    AfterValidator(_reference),
]


def _text_or_object(value: object) -> str | None:
    """Choose the member of a union, so that only its errors are reported. Tags begin with a capital, unlike fields."""
    if isinstance(value, str):
        return "Text"
    return "Named" if isinstance(value, dict | BaseModel) else None


TextOrObject: Final = Discriminator(
    _text_or_object, custom_error_type="text_or_object", custom_error_message="a text or an object is expected"
)


class Strict(BaseModel):
    """A body in which an unknown field is an error."""

    model_config = ConfigDict(extra="forbid")


def parsed(model: type[Body], value: object) -> Body:
    """Validate a body. Raises `InvalidRequest`, naming the fields."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InvalidRequest(describe_fields(list(error.errors()))) from error


def deadline_of(timeout_ms: int | None, default_ms: int) -> Deadline:
    return Deadline.after_ms(default_ms if timeout_ms is None else timeout_ms)


VersionInPath = Annotated[int, Field(ge=1, le=VERSION_MAX)]  # in a path or query, where everything is text
