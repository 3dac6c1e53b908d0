"""What a filter means, said in plain Python over one document's metadata: the oracle of every store.

It shares nothing with the implementation but the parsed filter, and knows no columns.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping

from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.filters.grammar import Combination, Comparison, Filter, Joint, Op, Scalar
from winnow.retrieval.records import Document, JsonValue, Metadata

ORDERS = {Op.GT: operator.gt, Op.GTE: operator.ge, Op.LT: operator.lt, Op.LTE: operator.le}
OPPOSITE = {Op.NE: Op.EQ, Op.NIN: Op.IN}


def matches(where: Filter, metadata: Metadata) -> bool:
    if isinstance(where, Combination):
        below = [matches(each, metadata) for each in where.filters]
        return all(below) if where.joint is Joint.AND else any(below)
    if where.op in OPPOSITE:
        return not matches(Comparison(key=where.key, op=OPPOSITE[where.op], values=where.values), metadata)
    value = metadata.get(where.key) if kind_of(metadata.get(where.key)) else None
    if where.op is Op.EQ and not where.values:
        return value is None
    if where.op in ORDERS:
        (bound,) = where.values
        return kind_of(value) == kind_of(bound) and ORDERS[where.op](value, bound)
    held = value if isinstance(value, list) else [value]
    return any(kind_of(one) == kind_of(wanted) and one == wanted for one in held for wanted in where.values)


def kind_of(value: JsonValue) -> str | None:
    """None for what is carried only."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "number" if -(2**63) <= value < 2**63 else None
    if isinstance(value, float):
        return "number" if math.isfinite(value) else None
    if isinstance(value, str):
        return "text" if len(value) <= 512 else None
    if isinstance(value, list) and value and all(kind_of(each) == "text" for each in value):
        return "list of texts"
    return None


def with_kinds_of(seen: Mapping[str, frozenset[str]], documents: Iterable[Document]) -> dict[str, frozenset[str]]:
    known = dict(seen)
    for document in documents:
        for key, value in document.metadata.items():
            kind = kind_of(value)
            if kind is not None and 0 < len(key) <= 64:
                known[key] = known.get(key, frozenset()) | {kind}
    return known


def require_known(where: Filter, seen: Mapping[str, frozenset[str]]) -> None:
    """Raises `InvalidRequest` where a filter makes no sense for documents of these kinds."""
    if isinstance(where, Combination):
        for each in where.filters:
            require_known(each, seen)
        return
    if where.key not in seen:
        raise InvalidRequest(f"the collection has no attribute {where.key!r}")
    for value in where.values:
        if not _fits(where, value, seen[where.key]):
            raise InvalidRequest(f"the attribute {where.key!r} is a {' or '.join(sorted(seen[where.key]))}")


def _fits(where: Comparison, value: Scalar, kinds: frozenset[str]) -> bool:
    allowed = {kind_of(value)}
    if isinstance(value, str) and where.op not in ORDERS:
        allowed.add("list of texts")
    return not allowed.isdisjoint(kinds)
