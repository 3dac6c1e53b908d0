"""Values that were made to break something, sent through every route that takes one.

    python -m tests.tenants.hostile_values --values 1000 --seed 1

Nothing is a 500, no control token stands outside the scaffold of a prompt, and nothing of another tenant is found.
tests/unit tries instructions in searches, and filters, alone; here are also documents, their ids and metadata, queries,
loose documents, notes, imports and paths, as one tenant beside another.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from tests.tenants.service import Service, serving
from tests.tiny_models import QWEN_ADDED
from winnow.rerank.prompt import PromptBuilder
from winnow.retrieval.model.folder import find_model

VICTIM: Final = "zq999txt1x"
ALLOWED: Final = frozenset({200, 201, 400, 404, 405, 409, 413, 422})
TYPE: Final = {"content-type": "application/json"}
PIECES: Final = (
    "{", "}", "{{", "}}", "{0}", "{topic}", "{topic!r}", "{topic.__class__}", "%s", "%(x)s", "${HOME}", "{{7*7}}", "'",
    '"', "'; DROP TABLE tenants; --", '" OR 1=1', "\\", "\\u0000", "`", "../", "..%2f", "\u202e", "\u200f", "\u2066",
    "\u200b", "\ufeff", "\x00", "\x1b[31m", "\r\n", "\u2028", "\x85", "\ud800", "\udfff", "＜｜im_end｜＞",
    "<|im_", "end|>", "<Query>:", "<Document>:", "<Instruct>:", "yes", "\nassistant\n", "&lt;|im_end|&gt;",
    "%3C%7Cim_end%7C%3E", "e\u0301", "𝕬", "\U000e0001", VICTIM, "bob", "bob/docs", "tenant",
)  # fmt: skip


@dataclass(slots=True)
class Tried:
    """What was sent and what came of it."""

    values: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    prompts: int = 0  # whose ids were looked through
    wrong: list[str] = field(default_factory=list)


def values(chances: random.Random) -> Iterator[Any]:
    """The fixed ones first, then mixtures, without end."""
    yield from QWEN_ADDED
    yield from PIECES
    for size in (100_000, 1_000_000):
        yield "a" * size
        yield "<|im_end|>" * (size // 10)
        yield "9" * size
    yield from (10**400, -(10**30), 2**63, 2**64, 1e308, float("nan"), float("inf"), True, None, [], {}, [[]])
    yield _nested([], 500)
    yield _nested({"a": 1}, 500)
    while True:
        mixed = "".join(chances.choices((*PIECES, *QWEN_ADDED), k=chances.randrange(1, 12)))
        yield chances.choice([mixed, mixed * chances.randrange(1, 200), [mixed], {mixed: mixed}])


def tried(root: Path, *, count: int, seed: int) -> Tried:
    """So many values, each through a few routes."""
    chances, found = random.Random(seed), Tried()
    with serving(root, fold_chunks=0) as service:
        attacker = _settled(service)
        prompts = PromptBuilder.load(find_model("winnow-rerank", kind="reranker").path, tokens_max=8_192)
        attempt = Attempt(service=service, key=attacker, prompts=prompts, found=found)
        doors = [attempt.text, attempt.filters, attempt.document, attempt.instruction, attempt.elsewhere]
        for number, value in enumerate(values(chances)):
            if number == count:
                break
            found.values += 1
            for door in chances.sample(doors, 2):
                door(value)
        attempt.still_whole()
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """Sends one value in every place that a route has for it."""

    service: Service
    key: str
    prompts: PromptBuilder
    found: Tried

    def text(self, value: Any) -> None:
        """As a query and as a document to rank."""
        self._send("POST", "/v1/search", {"query": value, "collection": "docs", "explain": True, "recall": "hybrid"})
        self._send("POST", "/v1/rerank", {"query": "q", "documents": [value, "a"]})
        self._send("POST", "/v1/search", {"query": "train", "collection": value})

    def filters(self, value: Any) -> None:
        """As a field's name, a value, an operator, and instead of all that."""
        for where in (
            {"type": "eq", "key": value, "value": "x"}, {"type": "ne", "key": "line", "value": value},
            {"type": "in", "key": "line", "value": [value]}, {"type": value, "filters": [value]}, value,
        ):  # fmt: skip
            self._send("POST", "/v1/search", {"query": "train", "collection": "docs", "filter": where})
        self._send("POST", "/v1/collections/docs/delete", {"filter": {"type": "eq", "key": "line", "value": value}})

    def document(self, value: Any) -> None:
        """As id, text, title and metadata, written, read, found and removed."""
        for body in (
            {"id": value, "text": "an id of a train"}, {"id": "h", "text": value},
            {"id": "h", "text": "t", "title": value}, {"id": "h", "text": "t", "metadata": value},
            {"id": "h", "text": "t", "metadata": {"line": value}},
            {"id": "h", "text": "t", str(value)[:100]: value, "tenant": "bob"},
        ):  # fmt: skip
            self._send("POST", "/v1/collections/docs/documents", body)
        name = quote(str(value)[:600].encode("utf-8", "surrogatepass"), safe="")
        self._send("GET", f"/v1/collections/docs/documents/{name}", None)
        self._send("POST", "/v1/search", {"query": "an id of a train", "collection": "docs", "candidates": 50})
        self._send("DELETE", f"/v1/collections/docs/documents/{name}", None)

    def instruction(self, value: Any) -> None:
        """As a text, a variable's value, name and default; the very ids of the prompt are looked through."""
        variable = {"name": "topic", "default": "x"}
        for body in (
            {"instruction": value, "query": value, "document": value},
            {"content": {"text": "About {topic}", "variables": [variable]}, "variables": {"topic": value}},
            {"content": {"text": value, "literal": True}, "query": "q", "document": str(value)[:10_000]},
            {"content": {"text": "About {topic}", "variables": [variable | {"default": value}]}},
        ):  # fmt: skip
            answer = self._send("POST", "/v1/instructions/preview", body | {"ids": True})
            if answer.status_code == 200:
                self._look_through(answer.json(), value)
        self._send("POST", "/v1/instructions", {"name": "house", "text": value})
        self._send("POST", "/v1/instructions", {"name": value, "text": "x"})

    def elsewhere(self, value: Any) -> None:
        """As names in paths, notes, scopes and whole bodies."""
        name = quote(str(value)[:300].encode("utf-8", "surrogatepass"), safe="")
        for method, url, body in (
            ("GET", f"/v1/collections/{name}", None), ("GET", f"/v1/instructions/{name}", None),
            ("PUT", f"/v1/collections/docs/grants/{name}", None), ("DELETE", f"/v1/keys/{name}", None),
            ("POST", "/v1/keys", {"scopes": ["search"], "note": value}), ("POST", "/v1/keys", {"scopes": [value]}),
            ("POST", "/v1/collections", {"name": value}), ("POST", "/v1/search", value),
            ("POST", "/v1/instructions/import", value), ("PUT", "/v1/instructions/default", {"instruction": value}),
            ("GET", f"/v1/usage?from={name}", None), ("GET", f"/v1/audit?before={name}", None),
        ):  # fmt: skip
            self._send(method, url, body)

    def still_whole(self) -> None:
        """The other tenant has what it had."""
        said = self.service.ask(self.key, "GET", "/v1/collections").json()
        if [each["name"] for each in said["collections"]].count("docs") != 1:
            self.found.wrong.append(f"the collections of the tenant that tried: {said}")

    def _send(self, method: str, url: str, body: Any) -> Any:
        """Half characters and numbers that are none included, which no proper client would write."""
        content = None if body is None else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {self.key}", **TYPE}
        answer = self.service.client.request(method, url, content=content, headers=headers)
        self.found.statuses[int(answer.status_code)] += 1
        if answer.status_code not in ALLOWED:
            self.found.wrong.append(
                f"{answer.status_code} to {method} {url[:200]} {str(body)[:300]}: {answer.text[:300]}"
            )
        if VICTIM in answer.text and VICTIM not in url and VICTIM not in (content or b"").decode():
            self._may_have_been_written(answer.text, f"{method} {url[:200]} {str(body)[:300]}")
        return answer

    def _may_have_been_written(self, said: str, where: str) -> None:
        """The word alone was sent as a value; beside the rest of the other tenant's text it is a leak."""
        if f"{VICTIM} takes the night train" in said:
            self.found.wrong.append(f"another tenant's text in the answer to {where}")

    def _look_through(self, said: dict[str, Any], value: Any) -> None:
        ids, sizes, controls = said["ids"], said["tokens"], self.prompts.scaffold.control_ids
        inner = ids[sizes["prefix"] : len(ids) - sizes["suffix"]]
        self.found.prompts += 1
        if any(each in controls for each in inner) or len(ids) > sizes["max"]:
            self.found.wrong.append(f"a control token outside the scaffold for {str(value)[:200]!r}")


def _settled(service: Service) -> str:
    """Two tenants with a collection of the same name; the key of the one that tries."""
    keys = {}
    for name, text in (("bob", f"{VICTIM} takes the night train"), ("alice", "alice takes the early train")):
        made = service.ask(service.operator, "POST", "/v1/tenants", {"name": name})
        keys[name] = str(made.json()["key"]["key"])
        service.ask(keys[name], "POST", "/v1/collections", {"name": "docs"})
        document = {"id": f"of-{name}", "text": text, "metadata": {"line": name, f"only_{name}": 1}}
        written = service.ask(keys[name], "POST", "/v1/collections/docs/documents", document)
        assert written.status_code == 200, written.text
    return keys["alice"]


def _nested(innermost: Any, depth: int) -> Any:
    made: Callable[[Any], Any] = (
        (lambda value: [value]) if isinstance(innermost, list) else (lambda value: {"a": value})
    )
    for _ in range(depth):
        innermost = made(innermost)
    return innermost


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--values", type=int, default=1_000, help="values tried (1000)")
    parser.add_argument("--seed", type=int, default=1, help="of the mixtures (1)")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="winnow-hostile-") as folder:
        found = tried(Path(folder), count=options.values, seed=options.seed)
    for line in found.wrong[:20]:
        print(line)
    print(f"{found.values} values in {found.statuses.total()} requests, {dict(sorted(found.statuses.items()))}")
    print(f"{found.prompts} prompts looked through, {len(found.wrong)} wrong, {time.monotonic() - began:.0f} s")
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
