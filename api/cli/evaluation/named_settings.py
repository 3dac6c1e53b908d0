"""The settings that an evaluation compares, as they are typed: `--setting`, or the product of the other flags.

    --setting 'wide candidates=100 recall=hybrid'
    --setting 'legal candidates=100 instruction="Prefer the law over commentary."'

The first word is the name of the run. What a setting leaves out is as the other flags say.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from winnow.api.schemas.instruction_requests import IN_USE
from winnow.api.setting_values import one_of, whole
from winnow.rerank.stopping_rule import Depth
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.limits import CANDIDATES_MAX
from winnow.retrieval.records import RecallMode

RECALL: Final = "recall"
TWO_STAGE: Final = "two-stage"
RERANK: Final = "rerank"
NO_RERANKER: Final = "none"  # a setting without a second stage
_NAME: Final = re.compile(r"\w[\w.:@+-]{0,63}")
_REFERENCE: Final = re.compile(r"[a-z0-9][a-z0-9_./-]*(@[1-9][0-9]{0,8})?")
_NAMES_MAX: Final = 32  # each pair is compared


class Order(StrEnum):
    """What orders the documents of a run."""

    RECALL = "recall"  # stage one alone
    ANSWER = "answer"  # as a search answers: the reranker's declared order, which may be recall's
    RELEVANCE = "relevance"  # relevance alone


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedSetting:
    """A setting by its words; None is as the other flags say."""

    name: str
    order: Order = Order.ANSWER
    recall: RecallMode | None = None
    candidates: int | None = None
    depth: Depth | None = None
    reranker: str | None = None  # a configured name, or MODEL[=URL]
    embedder: str | None = None  # MODEL[=URL]
    instruction: str | None = None  # a text, NAME[@VERSION], or default

    @property
    def reference(self) -> str | None:
        """The instruction's name, if it is one of the library: a value that is spelled like a name is a name."""
        said = self.instruction or ""
        return said if said != IN_USE and _REFERENCE.fullmatch(said) else None


def parse_settings(words: Sequence[str]) -> tuple[TypedSetting, ...]:
    """Parse the values of `--setting`. Raises `InvalidRequest`."""
    found = tuple(_parsed(each) for each in words)
    names = [each.name for each in found]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise InvalidRequest(f"two settings have the name {repeated!r}; a name says which run is which")
    if len(found) > _NAMES_MAX:
        raise InvalidRequest(f"{len(found)} settings are more than {_NAMES_MAX}; compare fewer at once")
    return found


def product(
    modes: Sequence[RecallMode], rerankers: Sequence[str], *, is_reranked: bool, default: RecallMode
) -> tuple[TypedSetting, ...]:
    """Return the settings that flags ask for: each kind of recall alone, and with each reranker in two orders.

    A name carries the kind of recall if kinds were chosen, and the reranker if there are several.
    """
    by_mode = {f"-{mode}": mode for mode in modes} if modes else {"": default}
    by_name: dict[str, str | None] = (
        {f"-{each}": each for each in rerankers} if len(rerankers) > 1 else {"": next(iter(rerankers), None)}
    )
    orders = ((TWO_STAGE, Order.ANSWER), (RERANK, Order.RELEVANCE)) if is_reranked else ()
    found = []
    for behind, mode in by_mode.items():
        found.append(TypedSetting(name=RECALL + behind, order=Order.RECALL, recall=mode))
        found += [
            TypedSetting(name=prefix + suffix + behind, order=order, recall=mode, reranker=name)
            for suffix, name in by_name.items()
            for prefix, order in orders
        ]
    return tuple(found)


def _parsed(words: str) -> TypedSetting:
    shown = f"--setting {words[:120]!r}"
    try:
        name, *pairs = shlex.split(words)
    except ValueError as error:
        raise InvalidRequest(f"{shown}: {_why(words, error)}") from error
    if not _NAME.fullmatch(name) or "=" in name:
        raise InvalidRequest(f"{shown}: begin with a name for the run, such as 'wide candidates=100'")
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or key not in _KEYS:
            raise InvalidRequest(f"{shown}: {pair[:80]!r} is not one of {', '.join(f'{each}=...' for each in _KEYS)}")
        if key in values:
            raise InvalidRequest(f"{shown}: {key} is there twice")
        try:
            values[key] = _KEYS[key](value)
        except ValueError as error:
            raise InvalidRequest(f"{shown}: {key}: {error}") from error
    if values.get("reranker") == NO_RERANKER:
        refused = next((key for key in ("candidates", "depth", "order") if key in values), None)
        if refused is not None:
            raise InvalidRequest(f"{shown}: {refused} means nothing with reranker=none")
        values = values | {"reranker": None, "order": Order.RECALL}
    return TypedSetting(name=name, **values)


def _why(words: str, error: ValueError) -> str:
    return f"{error}; put a text with blanks in quotes" if words.strip() else "it is empty"


def _text(raw: str) -> str:
    if not raw.strip():
        raise ValueError("it is empty")
    return raw


def _order(raw: str) -> Order:
    return Order(one_of(Order.ANSWER, Order.RELEVANCE)(raw))


_KEYS: Final[dict[str, Callable[[str], Any]]] = {
    "recall": lambda raw: RecallMode(one_of(*RecallMode)(raw)),
    "candidates": whole(1, CANDIDATES_MAX),
    "depth": lambda raw: Depth(one_of(*Depth)(raw)),
    "reranker": _text,
    "embedder": _text,
    "instruction": _text,
    "order": _order,
}
