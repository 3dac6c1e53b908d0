"""Dify's external knowledge: request, conditions on metadata, answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, Field

from winnow.api.fields import AbsentIfEmpty, Number, SearchedName
from winnow.api.library.instructions import NamedInstruction
from winnow.api.schemas.compat.judged_by import LongQuery
from winnow.api.schemas.response import JsonObject
from winnow.api.schemas.search_request import EitherInstruction, wanted_instruction
from winnow.retrieval.filters.grammar import Combination, Comparison, Filter, Joint, Op
from winnow.retrieval.limits import ATTRIBUTE_TEXT_CHARACTERS_MAX, FILTER_CONDITIONS_MAX, TOP_K_MAX
from winnow.retrieval.records import JsonValue, Metadata

TOP_K_DEFAULT: Final = 4  # Dify's
Meets: TypeAlias = Callable[[Metadata], bool]


class Operator(StrEnum):
    """Dify's comparison operators."""

    CONTAINS = "contains"
    NOT_CONTAINS = "not contains"
    START_WITH = "start with"
    END_WITH = "end with"
    IS = "is"
    IS_NOT = "is not"
    EMPTY = "empty"
    NOT_EMPTY = "not empty"
    IN = "in"
    NOT_IN = "not in"
    EQUAL = "="
    UNEQUAL = "≠"
    GREATER = ">"
    LESS = "<"
    GREATER_EQUAL = "≥"
    LESS_EQUAL = "≤"
    BEFORE = "before"
    AFTER = "after"


_IN_THE_INDEX: Final[Mapping[Operator, Op]] = {
    Operator.IS: Op.EQ, Operator.IS_NOT: Op.NE, Operator.EQUAL: Op.EQ, Operator.UNEQUAL: Op.NE,
    Operator.GREATER: Op.GT, Operator.LESS: Op.LT, Operator.GREATER_EQUAL: Op.GTE, Operator.LESS_EQUAL: Op.LTE,
}  # fmt: skip
_NUMERIC: Final = frozenset({
    Operator.EQUAL, Operator.UNEQUAL, Operator.GREATER, Operator.LESS, Operator.GREATER_EQUAL, Operator.LESS_EQUAL,
})  # fmt: skip
_VALUELESS: Final = frozenset({Operator.EMPTY, Operator.NOT_EMPTY})


class Condition(BaseModel):
    """A condition on one attribute."""

    name: Annotated[str | list[str], Field(description="The attribute; of a list the first.")]
    comparison_operator: Operator
    value: str | int | float | list[str | int | float] | None = None

    @property
    def key(self) -> str:
        return self.name if isinstance(self.name, str) else (self.name or [""])[0]


class MetadataCondition(BaseModel):
    """Conditions on metadata."""

    logical_operator: Literal["and", "or"] = "and"
    conditions: Annotated[list[Condition], Field(max_length=FILTER_CONDITIONS_MAX)] = []


class RetrievalSetting(BaseModel):
    """How many results, and from which relevance on."""

    top_k: Annotated[int, Field(ge=1, le=TOP_K_MAX), Number] | None = None
    score_threshold: Annotated[float, Field(ge=0.0, le=1.0), Number] | None = Field(
        default=None, description="Least relevance. Where nothing was reranked it is not applied. 0 is none."
    )


class RetrievalBody(BaseModel):
    """POST /retrieval, as Dify and RAGFlow send it."""

    knowledge_id: SearchedName = Field(description="NAME of a collection, or OWNER/NAME of a granted one.")
    query: LongQuery
    retrieval_setting: RetrievalSetting = RetrievalSetting()
    metadata_condition: MetadataCondition | None = None
    instruction: Annotated[EitherInstruction | None, AbsentIfEmpty] = None

    @property
    def top_k(self) -> int:
        return self.retrieval_setting.top_k or TOP_K_DEFAULT

    @property
    def wanted_instruction(self) -> str | NamedInstruction | None:
        return wanted_instruction(self.instruction)


class Record(JsonObject):
    """A passage."""

    content: str
    score: Annotated[float, Field(description="For display: in [0, 1], falling from result to result. No relevance.")]
    title: str
    metadata: dict[str, Any]


class RetrievalResponse(JsonObject):
    """POST /retrieval"""

    records: list[Record]
    threshold_applied: bool
    reason: Annotated[str | None, Field(description="Why a threshold was not applied.")]


def indexed_and_rest(condition: MetadataCondition | None) -> tuple[Filter | None, Meets | None]:
    """Split conditions: what the index can compare, and a test of the rest for results. None: there is none."""
    if condition is None or not condition.conditions:
        return None, None
    indexed = [_comparison(each) for each in condition.conditions]
    tests = [_test(each) for each in condition.conditions]
    if condition.logical_operator == "or":
        known = [each for each in indexed if each is not None]
        if len(known) == len(indexed):
            return _joined(Joint.OR, known), None
        return None, lambda metadata: any(test(metadata) for test in tests)
    rest = [test for test, each in zip(tests, indexed, strict=True) if each is None]
    where = _joined(Joint.AND, [each for each in indexed if each is not None])
    return where, (lambda metadata: all(test(metadata) for test in rest)) if rest else None


def _joined(joint: Joint, filters: Sequence[Filter]) -> Filter | None:
    if len(filters) <= 1:
        return filters[0] if filters else None
    return Combination(joint=joint, filters=tuple(filters))


def _comparison(condition: Condition) -> Comparison | None:
    """The condition in the grammar of filters; None if that has no word for it."""
    op, value = _IN_THE_INDEX.get(condition.comparison_operator), condition.value
    if op is None or value is None or isinstance(value, list):
        return None
    read = _number(value) if condition.comparison_operator in _NUMERIC else value
    if read is None or (isinstance(read, str) and len(read) > ATTRIBUTE_TEXT_CHARACTERS_MAX):
        return None
    return Comparison(key=condition.key, op=op, values=(read,))


def _test(condition: Condition) -> Meets:
    return lambda metadata: _meets(condition, metadata.get(condition.key))


def _meets(condition: Condition, found: JsonValue) -> bool:
    """Whether an attribute's value meets a condition, as Dify's own knowledge would say."""
    operator, value = condition.comparison_operator, condition.value
    is_empty = found is None or found in ("", [])
    if operator in _VALUELESS:
        return is_empty is (operator is Operator.EMPTY)
    if operator in (Operator.IN, Operator.NOT_IN):
        listed = value if isinstance(value, list) else [part.strip() for part in str(value).split(",")]
        return (str(found) in {str(each) for each in listed}) is (operator is Operator.IN)
    if is_empty or value is None:
        return operator in (Operator.NOT_CONTAINS, Operator.IS_NOT, Operator.UNEQUAL)
    if operator in _NUMERIC:
        return _compared(operator, _number(found), _number(value))
    if operator in (Operator.BEFORE, Operator.AFTER):
        one, other = _moment(found), _moment(value)
        return one is not None and other is not None and (one < other if operator is Operator.BEFORE else one > other)
    text, sought = str(found).casefold(), str(value).casefold()
    return {
        Operator.CONTAINS: sought in text, Operator.NOT_CONTAINS: sought not in text,
        Operator.START_WITH: text.startswith(sought), Operator.END_WITH: text.endswith(sought),
        Operator.IS: str(found) == str(value), Operator.IS_NOT: str(found) != str(value),
    }[operator]  # fmt: skip


def _compared(operator: Operator, found: float | None, value: float | None) -> bool:
    if found is None or value is None:
        return operator is Operator.UNEQUAL
    return {
        Operator.EQUAL: found == value, Operator.UNEQUAL: found != value, Operator.GREATER: found > value,
        Operator.LESS: found < value, Operator.GREATER_EQUAL: found >= value, Operator.LESS_EQUAL: found <= value,
    }[operator]  # fmt: skip


def _number(value: object) -> float | int | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    try:
        return float(str(value))
    except ValueError:
        return None


def _moment(value: object) -> float | None:
    """Seconds since 1970 of a number or of a date in ISO 8601."""
    if (number := _number(value)) is not None:
        return float(number)
    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except ValueError:
        return None
