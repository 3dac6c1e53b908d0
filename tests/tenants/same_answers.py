"""Does another tenant's data change one byte of an answer? The same searches beside near-duplicates, and without.

    python -m tests.tenants.same_answers --pairs 950 --seed 1               # the fakes
    python -m tests.tenants.same_answers --pairs 50 --seed 1 --bundled      # the bundled models
    python -m tests.tenants.same_answers --pairs 50 --seed 1 --bundled --busy

Two deployments hold the same collection of one tenant, written in the same order. In one of them another tenant has a
collection of the same name with near-duplicates of every text. The bodies must be equal to the byte, but for the
request's own id and what it took (`timings_ms`). With `--busy` the other tenant also searches all the while.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from tests.tenants.service import Service, bundled, serving

MASKED: Final = (
    (re.compile(rb'"id":"req_[0-9a-f]+"'), b'"id":"*"'),
    (re.compile(rb'"timings_ms":\{[^}]*\}'), b'"timings_ms":"*"'),
    (re.compile(rb"req_[0-9a-f]+"), b"*"),
)
SUBJECTS: Final = ("trains", "returns", "vectors", "courts", "rain", "keys", "herons", "contracts")
CLAIMS: Final = (
    "may be sent back within {} days", "arrive after {} minutes", "were counted {} times", "退货期限为 {} 天",
    "are kept for {} years, as the rules say", "need {} readers and one who writes",
)  # fmt: skip


@dataclass(slots=True)
class Alike:
    """What was compared, and what differed."""

    pairs: int = 0
    differing: list[str] = field(default_factory=list)
    largest: float = 0.0  # difference of a score, a similarity or a relevance
    others: int = 0  # searches of the other tenant meanwhile


def compared(root: Path, *, pairs: int, seed: int, is_bundled: bool = False, is_busy: bool = False) -> Alike:
    """Asks both deployments the same, in the same order."""
    chances, found = random.Random(seed), Alike()
    documents = [_document(chances, number) for number in range(60 if is_bundled else 120)]
    with ExitStack() as stack:
        alone, shared = (
            stack.enter_context(serving(root / name, fold_chunks=0, **(bundled() if is_bundled else {})))
            for name in ("one", "two")
        )
        near = [each | {"text": f"{each['text']} Or nearly so."} for each in documents]
        key_alone = _tenant(alone, "alice", documents)
        other = _tenant(shared, "bob", near)
        key_shared = _tenant(shared, "alice", documents)
        _tenant_again(shared, other, documents)  # and the very same texts, after them
        if is_busy:
            stack.enter_context(_searching(shared, other, found))
        for _ in range(pairs):
            body = _search(chances, documents)
            one, two = (
                each.ask(key, "POST", "/v1/search", body) for each, key in ((alone, key_alone), (shared, key_shared))
            )
            found.pairs += 1
            if masked(one.content) != masked(two.content):
                found.differing.append(f"{body}: {masked(one.content)[:400]!r} and {masked(two.content)[:400]!r}")
                found.largest = max(found.largest, _distance(one.json(), two.json()))
        usage = [_usage(each, key) for each, key in ((alone, key_alone), (shared, key_shared))]
        if usage[0] != usage[1]:
            found.differing.append(f"usage: {usage}")
    return found


def masked(body: bytes) -> bytes:
    """Without the id of the request and the time that it took; nothing else may differ."""
    for pattern, stand_in in MASKED:
        body = pattern.sub(stand_in, body)
    return body


def _tenant(service: Service, name: str, documents: Sequence[dict[str, Any]]) -> str:
    """Its key; its collection is written in batches, and half of it is in an index."""
    made = service.ask(service.operator, "POST", "/v1/tenants", {"name": name})
    assert made.status_code == 201, made.text
    key = str(made.json()["key"]["key"])
    assert service.ask(key, "POST", "/v1/collections", {"name": "docs"}).status_code == 201
    half = len(documents) // 2
    _write(service, key, documents[:half])
    assert service.ask(key, "POST", "/v1/collections/docs/fold").status_code == 200
    _write(service, key, documents[half:])
    return key


def _tenant_again(service: Service, key: str, documents: Sequence[dict[str, Any]]) -> None:
    _write(service, key, [each | {"id": f"copy-{each['id']}"} for each in documents])


def _write(service: Service, key: str, documents: Sequence[dict[str, Any]]) -> None:
    written = service.ask(key, "POST", "/v1/collections/docs/documents", {"documents": list(documents)})
    assert (written.status_code, written.json()["rejected"]) == (200, []), written.text


def _document(chances: random.Random, number: int) -> dict[str, Any]:
    subject, claim = chances.choice(SUBJECTS), chances.choice(CLAIMS)
    text = f"The {subject} {claim.format(chances.randrange(2, 90))}. " * chances.randrange(1, 4)
    return {"id": f"d{number}", "title": subject, "text": text.strip(), "metadata": {"subject": subject, "n": number}}


def _search(chances: random.Random, documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    text = chances.choice(documents)["text"]
    body: dict[str, Any] = {
        "query": chances.choice([text[:60], f"{chances.choice(SUBJECTS)} 7", f"谁的 {text[:20]}"]),
        "collection": "docs", "top_k": chances.choice((1, 5, 20)), "candidates": chances.choice((5, 12)),
        "recall": chances.choice(("dense", "lexical", "hybrid")), "rerank": chances.random() < 0.7,
        "explain": chances.random() < 0.5, "neighbours": chances.choice((0, 2)), "timeout_ms": 120_000,
    }  # fmt: skip
    if chances.random() < 0.4:
        body["filter"] = {"type": "eq", "key": "subject", "value": chances.choice(SUBJECTS)}
    if chances.random() < 0.3:
        body["group_by_document"] = True
    if chances.random() < 0.3:
        body["instruction"] = f"Prefer what speaks of {chances.choice(SUBJECTS)}"
    return body


@contextmanager
def _searching(service: Service, key: str, found: Alike) -> Iterator[None]:
    """The other tenant asks the same deployment, one search after another, from a thread of its own."""
    is_over = threading.Event()

    def search_on() -> None:
        chances = random.Random(0)
        while not is_over.is_set():
            documents = [_document(chances, number) for number in range(3)]
            service.ask(key, "POST", "/v1/search", _search(chances, documents) | {"rerank": "always"})
            found.others += 1

    thread = threading.Thread(target=search_on)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _usage(service: Service, key: str) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = service.ask(key, "GET", "/v1/usage").json()["usage"]
    return [{name: each for name, each in day.items() if name != "day"} for day in said]


def _distance(one: Any, two: Any) -> float:
    """The largest difference between numbers at the same place; infinite where the shapes differ."""
    if isinstance(one, dict) and isinstance(two, dict) and one.keys() == two.keys():
        return max((_distance(one[name], two[name]) for name in one if name not in {"id", "timings_ms"}), default=0.0)
    if isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        return max((_distance(*each) for each in zip(one, two, strict=True)), default=0.0)
    if isinstance(one, float) and isinstance(two, float):
        return abs(one - two)
    return 0.0 if orjson.dumps(one) == orjson.dumps(two) else float("inf")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1_000, help="searches compared (1000)")
    parser.add_argument("--seed", type=int, default=1, help="of texts and searches (1)")
    parser.add_argument("--bundled", action="store_true", help="the models of data/models in place of the fakes")
    parser.add_argument("--busy", action="store_true", help="the other tenant searches all the while")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="winnow-alike-") as folder:
        found = compared(
            Path(folder), pairs=options.pairs, seed=options.seed, is_bundled=options.bundled, is_busy=options.busy
        )
    for line in found.differing[:10]:
        print(line)
    print(f"{found.pairs} pairs, {len(found.differing)} differing, largest difference of a number {found.largest:.3g}, "
          f"{found.others} searches of the other tenant meanwhile, {time.monotonic() - began:.0f} s")  # fmt: skip
    return 1 if found.differing else 0


if __name__ == "__main__":
    sys.exit(main())
