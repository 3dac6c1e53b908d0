"""The page of HTTP routes, from the OpenAPI description, the table of scopes and the limits of bodies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from docs.generate.markdown import anchor, code, prose, table
from docs.generate.openapi import described
from docs.generate.schemas import fields_table, kind_of, schemas_in_use
from winnow.api.http.body_limits import body_limit
from winnow.api.http.scopes import NEEDED, OPEN

HEAD: Final = """# HTTP

Send the API key as `Authorization: Bearer KEY`. While no key exists, the service listens on loopback only and needs none. The key decides which tenant a request belongs to. The running service serves this description as OpenAPI at `/openapi.json` and as a page at `/docs`; both are open, like `/healthz` and `/readyz`.

Every error has the [problem body](errors.md#the-problem-body). `HEAD` answers like `GET` without a body.

"""
SCOPES: Final = """## Scopes

Scopes are independent: none includes another. `open` routes need no key.

"""
JSON: Final = "application/json"
Operation = tuple[str, str, Mapping[str, Any]]


def page() -> str:
    """The routes by subject, then every object that bodies and answers are made of."""
    description = described()
    found = list(operations(description))
    subjects = dict.fromkeys(operation["tags"][0] for _, _, operation in found)
    overview = table(("Route", "Scope", "What it does"), (_overview(each) for each in found))
    sections = "".join(
        f"## {subject.capitalize()}\n\n" + "".join(_section(each) for each in found if each[2]["tags"][0] == subject)
        for subject in subjects
    )
    return f"{HEAD}{SCOPES}{overview}\n{_statuses(found)}{sections}{_objects(description)}"


def operations(description: Mapping[str, Any]) -> Iterator[Operation]:
    """Every route with its method and path."""
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def scope_of(method: str, path: str) -> str:
    """The scope that the table names; OpenAPI writes `{id:path}` as `{id}`."""
    by_path = {(known_method, known.replace(":path", "")): needed for (known_method, known), needed in NEEDED.items()}
    needed = by_path[method, path]
    return OPEN if needed == OPEN else str(needed.value)


def _overview(operation: Operation) -> tuple[str, str, str]:
    method, path, said = operation
    return f"[`{method} {path}`](#{anchor(f'{method} {path}')})", code(scope_of(method, path)), said["summary"]


def _statuses(found: list[Operation]) -> str:
    """What each status of a refusal means, once for all routes."""
    meanings: dict[str, dict[str, None]] = {}
    for _, _, operation in found:
        for status, answer in operation["responses"].items():
            if not status.startswith("2"):
                meanings.setdefault(status, {})[answer["description"]] = None
    rows = ((status, "; or: ".join(said)) for status, said in sorted(meanings.items()))
    return "## Statuses\n\n" + table(("Status", "Meaning"), rows) + "\n"


def _section(each: Operation) -> str:
    """The description stands alone; the summary, which often begins like it, stands in the overview."""
    method, path, operation = each
    limit = body_limit(path)
    parts = [
        f"### {method} {path}\n",
        (prose(operation.get("description", "")) or f"{operation['summary']}.") + "\n",
    ]
    facts = [f"Scope: {code(scope_of(method, path))}"]
    if "requestBody" in operation:
        facts.append(f"Body: {_body(operation['requestBody'])}; up to {limit.bytes:,} bytes")
    facts.extend(f"Answer {status}: {_answer(answer)}" for status, answer in _answers(operation))
    facts.append("Other statuses: " + ", ".join(key for key in operation["responses"] if not key.startswith("2")))
    parts.append("".join(f"- {fact}\n" for fact in facts))
    if operation.get("parameters"):
        parts.append(table(("Parameter", "In", "Type", "Meaning"), map(_parameter, operation["parameters"])))
    return "\n".join(parts) + "\n"


def _answers(operation: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return [(status, answer) for status, answer in operation["responses"].items() if status.startswith("2")]


def _body(body: Mapping[str, Any]) -> str:
    said = body.get("description", "")
    kinds = ", ".join(
        (kind_of(content["schema"]) if media == JSON else code(media)) for media, content in body["content"].items()
    )
    return f"{kinds} ({prose(said).rstrip('.')})" if said else kinds


def _answer(answer: Mapping[str, Any]) -> str:
    kinds = [
        (kind_of(content.get("schema", {})) if media == JSON else code(media))
        for media, content in answer.get("content", {}).items()
    ]
    return ", ".join(kinds) or "no body"


def _parameter(parameter: Mapping[str, Any]) -> tuple[str, str, str, str]:
    schema = parameter["schema"]
    default = "" if schema.get("default") is None else f" Default: {code(schema['default'])}."
    needed = " Required." if parameter.get("required") and parameter["in"] != "path" else ""
    said = parameter.get("description", schema.get("description", ""))
    return code(parameter["name"]), parameter["in"], kind_of(schema), f"{said}{default}{needed}".strip()


def _objects(description: Mapping[str, Any]) -> str:
    schemas = schemas_in_use(description)
    sections = "".join(
        f"### {name}\n\n"
        + (f"{prose(schema['description'])}\n\n" if schema.get("description") else "")
        + fields_table(schema)
        for name, schema in schemas.items()
    )
    return f"## Objects\n\n{sections}".rstrip() + "\n"
