"""What the programs of this folder share: the cases, made of calls, and the observations, printed.

A program runs in an environment that has its client and not winnow, so this file needs the standard library only.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

CASES: Final = ("success", "401", "404", "422", "429", "503", "degraded", "null fields", "instruction")
REFUSED_WITHIN: Final = 6  # calls; the tenant has four a minute
RERANK_REFUSES: Final = "this route answers 503 where nothing was reranked"
NO_RERANKER: Final = "no reranker takes part"
WAITS_SECONDS: Final = 10.0  # for calls that were all let in
NO_NULLS: Final = "the client sends no optional field as null"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One call: where, as whom, for what, and what is special about it."""

    url: str
    key: str
    model: str
    collection: str
    query: str
    documents: dict[str, str]
    winnow: list[str]  # the command
    instruction: str | None = None  # to be sent in a field
    is_invalid: bool = False  # to be made one that the service refuses; for rerank the model's name is it
    with_nulls: bool = False

    @property
    def texts(self) -> list[str]:
        return list(self.documents.values())

    def ids(self, indexes: list[int]) -> list[str]:
        """The documents at these indexes of `texts`."""
        known = list(self.documents)
        return [known[index] for index in indexes]

    def by_similarity(self, query: list[float], vectors: list[list[float]]) -> list[str]:
        """The documents by the similarity of their vectors to the query's."""
        similarities = [sum(a * b for a, b in zip(query, vector, strict=True)) for vector in vectors]
        return self.ids(sorted(range(len(vectors)), key=lambda index: -similarities[index]))


Ask = Callable[[Wish], list[str]]  # returns ids in the client's order, and raises what the client raises


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A call of a client that is tried in every case."""

    name: str  # "POST /v2/rerank"
    kind: str  # rerank, embeddings or search
    ask: Ask
    by_model: bool = False  # the instruction is chosen by the name of the model
    skipped: Mapping[str, str]  # cases that do not apply, with the reason
    notes: Mapping[str, str]


def route(
    name: str,
    kind: str,
    ask: Ask,
    *,
    by_model: bool = False,
    skipped: Mapping[str, str] | None = None,
    notes: Mapping[str, str] | None = None,
) -> Route:
    """Return a route, with the cases skipped that its kind can't have."""
    never: dict[str, dict[str, str]] = {
        "rerank": {"degraded": RERANK_REFUSES},
        "embeddings": {"degraded": NO_RERANKER, "instruction": NO_RERANKER},
        "search": {},
    }
    chosen = {"instruction": "by the model's name"} if by_model else {}
    return Route(
        name=name,
        kind=kind,
        ask=ask,
        by_model=by_model,
        skipped=never[kind] | dict(skipped or {}),
        notes=chosen | dict(notes or {}),
    )


def tell(distribution: str, *routes: Route) -> None:
    """Try every case of every route, and print what was observed."""
    target = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    with contextlib.redirect_stdout(sys.stderr):  # what a client prints is no observation
        observed = [_observation(each, case, target) for each in routes for case in CASES]
    for line in observed:
        print(json.dumps(line | {"version": version(distribution)}, ensure_ascii=False))


def _observation(each: Route, case: str, target: dict[str, Any]) -> dict[str, Any]:
    observed: dict[str, Any] = {
        "route": each.name,
        "case": case,
        "order": None,
        "error": None,
        "status": None,
        "skipped": each.skipped.get(case),
        "note": each.notes.get(case, ""),
        "seconds": 0.0,
    }
    if observed["skipped"] is not None:
        return observed
    began = time.monotonic()
    try:
        for _ in range(REFUSED_WITHIN if case == "429" else 1):
            observed["order"] = each.ask(_wish(each, case, target))
            if time.monotonic() - began > WAITS_SECONDS:
                break  # the client waits instead of raising
    except Exception as raised:  # noqa: BLE001  which exceptions a client raises is what is observed
        error = _alone(raised)
        observed |= {"order": None, "error": type(error).__name__, "status": _status(error)}
        print(f"{each.name} {case}: {error!r}"[:600], file=sys.stderr)
    return observed | {"seconds": round(time.monotonic() - began, 1)}


def _wish(each: Route, case: str, target: dict[str, Any]) -> Wish:
    usual = Wish(
        url=target["url"],
        key=target["key"],
        model=target["embedding_model" if each.kind == "embeddings" else "model"],
        collection=target["collection"],
        query=target["query"],
        documents=target["documents"],
        winnow=target["winnow"],
    )
    down = target["rerank_down_url" if each.kind == "rerank" else "embed_down_url"]
    missing = {"collection": "no-such-collection"} if each.kind == "search" else {"url": f"{usual.url}/no-such-path"}
    changes: dict[str, dict[str, Any]] = {
        "success": {},
        "401": {"key": target["wrong_key"]},
        "404": missing,
        "422": {"is_invalid": True} | ({"model": target["unknown_model"]} if each.kind == "rerank" else {}),
        "429": {"key": target["limited_key"]},
        "503": {"url": down},
        "degraded": {"url": target["rerank_down_url"]},
        "null fields": {"with_nulls": True},
        "instruction": (
            {"model": target["instructed_model"]} if each.by_model else {"instruction": target["instruction"]}
        ),
    }
    return replace(usual, **changes[case])


def _alone(error: BaseException) -> BaseException:
    """The exception in groups of one."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _status(error: BaseException | None) -> int | None:
    """The HTTP status that an exception holds, or the one that it was raised from."""
    while error is not None:
        holders = (error, getattr(error, "response", None))
        for holder in holders:
            for name in ("status_code", "http_status", "status", "code"):
                value = getattr(holder, name, None)
                if isinstance(value, int) and 400 <= value < 600:
                    return int(value)
        error = error.__cause__ or error.__context__
    return None
