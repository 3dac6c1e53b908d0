"""One request for every operation, in an order in which a service can answer all of them.

The answers of a real service are kept in api/http/description/examples.json (`python -m tests.openapi.record`). The
description shows both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from string import Template
from typing import Any, Final

ADDRESS: Final = "https://203.0.113.7/winnow"  # of webhooks; from a range for documentation
NDJSON: Final = "application/x-ndjson"
YAML: Final = "application/yaml"
FORM: Final = "multipart/form-data"
QUERY: Final = "how do I undo a commit?"
HERON: Final = "The heron strikes at fish."
HERON_ASKED: Final = "How does a heron catch fish?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One request. `$NAME` in its values is what an earlier step kept."""

    method: str
    path: str  # as the description has it
    path_values: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None  # an object, or text in the format of `media`; of a form its fields
    media: str = "application/json"
    keeps: Mapping[str, str] = field(default_factory=dict)  # names of values, by their path in the answer
    is_shown: bool = True  # False: it only prepares others


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A step as it was sent, and what was answered."""

    step: Step
    path_values: Mapping[str, str]
    query: Mapping[str, str]
    body: Any
    answer: Any  # the client's response

    @property
    def operation(self) -> str:
        return f"{self.step.method} {self.step.path}"


def _step(operation: str, body: Any = None, **more: Any) -> Step:
    """`more`: values of the path, and any field of `Step`."""
    method, _, path = operation.partition(" ")
    in_path = {name: str(more.pop(name)) for name in re.findall(r"{(\w+)}", path)}
    return Step(method=method, path=path, path_values=in_path, body=body, **more)


_NAME: Final = {"name": "handbook"}
_LEGAL: Final = {"name": "chinese-first", "text": "Prefer documents written in Chinese.", "author": "search team"}
_SHADOW: Final = {"version": 2, "live": "chinese-first@1"}
_IMPORTED: Final = """winnow_instructions: 1
instructions:
- name: manuals-first
  versions:
  - version: 1
    text: Prefer manuals to news.
"""
_DOCUMENTS: Final = {
    "documents": [
        {
            "id": "undo",
            "title": "Undo a commit",
            "text": "git revert makes a new commit that undoes an earlier one.",
            "metadata": {"line": "git", "year": 2024},
        },
        {"id": "heron", "title": "Heron", "text": HERON, "metadata": {"line": "birds", "year": 2020}},
    ]
}

STORY: Final = (
    _step("GET /healthz"),
    _step("GET /readyz"),
    _step("POST /v1/collections", _NAME),
    _step("POST /v1/collections/{name}/documents", _DOCUMENTS, name="handbook"),
    _step("GET /v1/collections"),
    _step("GET /v1/collections/{name}", name="handbook"),
    _step("PATCH /v1/collections/{name}", {"demote_query_echo": True}, name="handbook"),
    _step("GET /v1/collections/{name}/documents", name="handbook", query={"limit": "1"}),
    _step("GET /v1/collections/{name}/documents/{document_id}", name="handbook", document_id="undo"),
    _step(
        "POST /v1/search", {"query": QUERY, "collection": "handbook", "top_k": 1}, keeps={"search": "id"}
    ),
    _step("POST /v1/collections/{name}/search", {"query": QUERY, "top_k": 1}, name="handbook"),
    _step("POST /v1/collections/{name}/web_search", {"query": QUERY, "count": 1}, name="handbook"),
    _step("POST /v1/rerank", {"query": HERON_ASKED, "documents": ["A contract.", HERON], "top_n": 1}),
    _step(
        "POST /v2/rerank",
        {"model": "winnow-rerank", "query": HERON_ASKED, "documents": ["A contract.", HERON], "top_n": 1},
    ),
    _step("POST /rerank", {"query": HERON_ASKED, "texts": ["A contract.", HERON]}),
    _step("POST /score", {"queries": HERON_ASKED, "documents": ["A contract.", HERON]}),
    _step("POST /v1/score", {"queries": HERON_ASKED, "documents": ["A contract.", HERON]}),
    _step("POST /v1/embeddings", {"input": [HERON_ASKED], "input_type": "query", "dimensions": 4}),
    _step("GET /v1/models", keeps={"model": "data.1.id"}),
    _step("GET /v1/models/{name}", name="$model"),
    _step("GET /v1/vector_stores", query={"limit": "1"}),
    _step("GET /v1/vector_stores/{name}", name="handbook"),
    _step("POST /v1/vector_stores/{name}/search", {"query": QUERY, "max_num_results": 1}, name="handbook"),
    _step("POST /v1/vector_stores", {"name": "birds", "metadata": {"team": "support"}}),
    _step("POST /v1/vector_stores/{name}", {"name": "Birds of the Rhine"}, name="birds"),
    _step("POST /v1/files", {"purpose": "assistants", "file": HERON}, media=FORM, keeps={"file": "id"}),
    _step("GET /v1/files", query={"limit": "1"}),
    _step("GET /v1/files/{file_id}", file_id="$file"),
    _step("GET /v1/files/{file_id}/content", file_id="$file"),
    _step(
        "POST /v1/vector_stores/{name}/files", {"file_id": "$file", "attributes": {"lang": "en"}}, name="birds"
    ),
    _step("GET /v1/vector_stores/{name}/files", name="birds", query={"limit": "1"}),
    _step("GET /v1/vector_stores/{name}/files/{file_id}", name="birds", file_id="$file"),
    _step(
        "POST /v1/vector_stores/{name}/files/{file_id}",
        {"attributes": {"lang": "de"}},
        name="birds",
        file_id="$file",
    ),
    _step("GET /v1/vector_stores/{name}/files/{file_id}/content", name="birds", file_id="$file"),
    _step("DELETE /v1/vector_stores/{name}/files/{file_id}", name="birds", file_id="$file"),
    _step("DELETE /v1/files/{file_id}", file_id="$file"),
    _step("DELETE /v1/vector_stores/{name}", name="birds"),
    _step(
        "POST /retrieval",
        {"knowledge_id": "handbook", "query": QUERY, "retrieval_setting": {"top_k": 1, "score_threshold": 0.0}},
    ),
    _step("POST /mcp", {"jsonrpc": "2.0", "id": 1, "method": "ping"}),
    _step("POST /v1/feedback", {"search_id": "$search", "document_id": "undo", "grade": 1}),
    _step("GET /v1/judgments", query={"limit": "1"}),
    _step("PUT /v1/judgments/settings", {"keep_queries": False}),
    _step("DELETE /v1/judgments", query={"collection": "handbook"}),
    _step("POST /v1/instructions", _LEGAL),
    _step("PUT /v1/instructions/{name}/draft", {"text": "Prefer documents in Chinese."}, name="chinese-first"),
    _step("POST /v1/instructions/{name}/versions/{version}/publish", name="chinese-first", version=2),
    _step("GET /v1/instructions/{name}", name="chinese-first"),
    _step("GET /v1/instructions/{name}/versions/{version}", name="chinese-first", version=1),
    _step("GET /v1/instructions/{name}/diff", name="chinese-first", query={"before": "1", "after": "2"}),
    _step("GET /v1/instructions"),
    _step("GET /v1/instructions/builtin/{name}", name="paper-recommendation"),
    _step("GET /v1/instructions/export", query={"name": "chinese-first"}),
    _step("POST /v1/instructions/import", _IMPORTED, media=YAML),
    _step(
        "POST /v1/instructions/preview",
        {"instruction": {"name": "builtin/paper-recommendation", "variables": {"since": 2024}}},
    ),
    _step(
        "POST /v1/instructions/try",
        {"query": QUERY, "collection": "handbook", "versions": ["default", "chinese-first@1"], "top_k": 1},
    ),
    _step("PUT /v1/instructions/{name}/shadow", _SHADOW, name="chinese-first"),
    _step("GET /v1/instructions/{name}/shadow", name="chinese-first"),
    _step("GET /v1/instructions/shadows"),
    _step("DELETE /v1/instructions/{name}/shadow", name="chinese-first"),
    _step("PUT /v1/instructions/default", {"instruction": "chinese-first@1"}),
    _step("GET /v1/instructions/default"),
    _step("PUT /v1/instructions/{name}/shadow", _SHADOW, name="chinese-first", is_shown=False),
    _step("POST /v1/instructions/{name}/versions/{version}/promote", name="chinese-first", version=2),
    _step("POST /v1/instructions/{name}/versions/{version}/retire", name="chinese-first", version=1),
    _step("PUT /v1/instructions/{name}/draft", {"text": "Prefer Chinese."}, name="chinese-first", is_shown=False),
    _step("DELETE /v1/instructions/{name}/versions/{version}", name="chinese-first", version=3),
    _step("POST /v1/collections/{name}/fold", name="handbook"),
    _step("GET /v1/collections/{name}/generations", name="handbook"),
    _step(
        "POST /v1/stability/golden",
        {"name": "weekly", "collection": "handbook", "queries": [{"query": QUERY, "judgments": {"undo": 1}}]},
    ),
    _step("GET /v1/stability/golden"),
    _step("POST /v1/stability/runs", {"name": "weekly"}, keeps={"run": "run.number"}),
    _step("GET /v1/stability/runs", query={"limit": "1"}),
    _step("GET /v1/stability/runs/{number}", number="$run"),
    _step("GET /v1/stability"),
    _step("PUT /v1/stability/golden/{name}/schedule", {"daily_hour": 3}, name="weekly"),
    _step("DELETE /v1/stability/golden/{name}/schedule", name="weekly"),
    _step("DELETE /v1/stability/golden/{name}", name="weekly"),
    _step("PUT /v1/stability/sampling", {"share": 0.0}),
    _step("GET /v1/stability/sampling"),
    _step("PUT /v1/stability/thresholds", {"rbo_min": 0.8}),
    _step("GET /v1/stability/thresholds"),
    _step("DELETE /v1/stability/thresholds"),
    _step("PUT /v1/stability/webhook", {"url": ADDRESS}),
    _step("GET /v1/stability/webhook"),
    _step("POST /v1/stability/webhook/rotate", {"overlap_seconds": 3600}),
    _step("GET /v1/stability/webhook/deliveries"),
    _step("DELETE /v1/stability/webhook"),
    _step("POST /v1/keys", {"scopes": ["search"], "note": "chatbot", "expires_in_days": 90}, keeps={"key": "id"}),
    _step("GET /v1/keys"),
    _step("POST /v1/keys/{key_id}/rotate", {"overlap_seconds": 3600}, key_id="$key"),
    _step("DELETE /v1/keys/{key_id}", key_id="$key"),
    _step("GET /v1/usage"),
    _step("GET /v1/audit", query={"limit": "1"}),
    _step("POST /v1/tenants", {"name": "acme"}),
    _step("GET /v1/tenants"),
    _step("POST /v1/tenants/{name}/keys", {"scopes": ["search", "write"], "note": "first key"}, name="acme"),
    _step("PUT /v1/tenants/{name}/limits", {"requests_per_minute": 600}, name="acme"),
    _step("GET /v1/tenants/{name}/limits", name="acme"),
    _step("PUT /v1/collections/{name}/grants/{reader}", name="handbook", reader="acme"),
    _step("GET /v1/grants"),
    _step("DELETE /v1/collections/{name}/grants/{reader}", name="handbook", reader="acme"),
    _step("PATCH /v1/tenants/{name}", {"disabled": True}, name="acme"),
    _step("GET /v1/limits"),
    _step("GET /metrics"),
    _step(
        "POST /v1/collections/{name}/documents",
        "".join(json.dumps(each) + "\n" for each in _DOCUMENTS["documents"]),
        media=NDJSON,
        name="handbook",
    ),
    _step(
        "POST /v1/collections/{name}/delete",
        {"filter": {"type": "eq", "key": "line", "value": "birds"}, "dry_run": True},
        name="handbook",
    ),
    _step("DELETE /v1/collections/{name}/documents/{document_id}", name="handbook", document_id="heron"),
    _step("POST /v1/collections/{name}/fold", name="handbook", is_shown=False),
    _step("POST /v1/collections/{name}/generations/rollback", {"to": None}, name="handbook"),
    _step("DELETE /v1/collections/{name}", name="handbook"),
)  # fmt: skip


def told(client: Any, *, until: str | None = None) -> Iterator[Told]:
    """Send all steps, or those before the operation `until`, to a service with nothing in it.

    `client` is httpx2's, with a key for everything.
    """
    kept: dict[str, str] = {}
    for step in STORY:
        if f"{step.method} {step.path}" == until:
            return
        in_path = {name: Template(value).substitute(kept) for name, value in step.path_values.items()}
        body = step.body
        if body is not None and not isinstance(body, str):
            body = json.loads(Template(json.dumps(body)).substitute(kept))
        headers, sent = _sent(step.media, body)
        answer = client.request(
            step.method, step.path.format_map(in_path), params=dict(step.query), headers=headers, **sent
        )
        is_answered = answer.is_success or step.path == "/readyz"  # scripted models are not ready
        assert is_answered, f"{step.method} {step.path}: {answer.status_code} {answer.text}"
        kept |= {name: str(_found(answer.json(), path)) for name, path in step.keeps.items()}
        yield Told(step=step, path_values=in_path, query=step.query, body=body, answer=answer)


def _sent(media: str, body: Any) -> tuple[dict[str, str], dict[str, Any]]:
    """The headers, and what the client is given to send."""
    headers = {"accept": "application/json, text/event-stream"}
    if body is None:
        return headers, {}
    if media == FORM:
        return headers, {"data": {"purpose": body["purpose"]}, "files": {"file": ("heron.txt", body["file"].encode())}}
    content = body if isinstance(body, str) else json.dumps(body)
    return headers | {"content-type": media}, {"content": content}


def _found(answer: Any, path: str) -> Any:
    for name in path.split("."):
        answer = answer[int(name) if isinstance(answer, list) else name]
    return answer
