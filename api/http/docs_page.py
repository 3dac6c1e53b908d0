"""The page /docs, generated from the OpenAPI description without external resources.

The usual pages load scripts from a content network; a search service often runs without network access.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

Schema = Mapping[str, Any]

STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --accent: #0a7; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); text-transform: capitalize; }
details { border: 1px solid var(--line); border-radius: 6px; margin: .6rem 0; padding: .5rem .9rem; }
summary { cursor: pointer; } summary b { color: var(--accent); display: inline-block; width: 4.2rem; }
summary span { opacity: .75; margin-left: .8rem; }
code, pre, textarea { font: 13px/1.45 ui-monospace, monospace; }
pre, textarea { background: var(--soft); padding: .6rem; border-radius: 6px; overflow: auto; white-space: pre-wrap; }
textarea { width: 100%; box-sizing: border-box; border: 1px solid var(--line); min-height: 7rem; color: inherit; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; vertical-align: top; padding: .2rem .6rem;
  border-bottom: 1px solid var(--line); } th { font-weight: 600; opacity: .7; } input { font: inherit; }
"""

SCRIPT: Final = """
document.querySelectorAll('form').forEach(form => form.addEventListener('submit', async event => {
  event.preventDefault();
  const out = form.querySelector('pre'), key = document.querySelector('#key').value;
  const headers = {'content-type': 'application/json'};
  if (key) headers.authorization = 'Bearer ' + key;
  const body = form.querySelector('textarea'), path = form.querySelector('input[name=path]').value;
  out.textContent = '...';
  try {
    const reply = await fetch(path, {method: form.dataset.method, headers, body: body ? body.value : undefined});
    const text = await reply.text();
    let shown = text;
    try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch {}
    out.textContent = reply.status + ' ' + reply.statusText + '\\n' + shown;
  } catch (error) { out.textContent = String(error); }
}));
"""


def docs_page(described: Schema) -> str:
    """Return the page of this OpenAPI description."""
    operations = [
        (path, method, operation)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    ]
    tags = list(dict.fromkeys(operation["tags"][0] for _, _, operation in operations))
    sections = "".join(
        f"<h2>{_escape(tag)}</h2>"
        + "".join(_operation(described, *each) for each in operations if each[2]["tags"][0] == tag)
        for tag in tags
    )
    info = described["info"]
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{_escape(info['title'])}</title><style>{STYLE}</style>"
        f"<h1>{_escape(info['title'])} <small>{_escape(info['version'])}</small></h1>{_prose(info['description'])}"
        f"<p><label>API key <input id=key type=password autocomplete=off></label> &nbsp; "
        f"<a href=openapi.json>openapi.json</a></p>{sections}<script>{SCRIPT}</script></html>"
    )


def _operation(described: Schema, path: str, method: str, operation: Schema) -> str:
    sent = _body_schema(described, operation)
    answered = _answer_schema(described, operation)
    opened = " open" if path == "/v1/search" else ""
    tables = _table("Send", described, sent) + _table("Receive", described, answered)
    return (
        f"<details{opened}><summary><b>{method.upper()}</b> <code>{_escape(path)}</code>"
        f"<span>{_escape(operation['summary'])}</span></summary>{_prose(operation.get('description', ''))}"
        f"{tables}{_form(path, method, operation)}</details>"
    )


def _form(path: str, method: str, operation: Schema) -> str:
    example = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
    body = "" if example is None else f"<textarea>{_escape(json.dumps(example, indent=2))}</textarea>"
    return (
        f"<form data-method={method.upper()}><p><input name=path size=60 value='{_escape(path)}'> "
        f"<button>Try it</button></p>{body}<pre></pre></form>"
    )


def _table(title: str, described: Schema, schema: Schema | None) -> str:
    if schema is None or "properties" not in schema:
        return ""
    required = schema.get("required", ())
    rows = "".join(
        f"<tr><td><code>{_escape(name)}</code>{'' if name in required else '?'}</td>"
        f"<td><code>{_escape(_kind(described, field))}</code></td><td>{_escape(_remark(field))}</td></tr>"
        for name, field in schema["properties"].items()
    )
    return f"<table><tr><th>{title}</th><th></th><th></th></tr>{rows}</table>"


def _body_schema(described: Schema, operation: Schema) -> Schema | None:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    return _resolve(described, content["schema"]) if "schema" in content else None


def _answer_schema(described: Schema, operation: Schema) -> Schema | None:
    for status, answer in operation["responses"].items():
        schema = answer.get("content", {}).get("application/json", {}).get("schema")
        if status.startswith("2") and schema:
            return _resolve(described, schema)
    return None


def _resolve(described: Schema, schema: Schema) -> Schema:
    while "$ref" in schema or "anyOf" in schema:
        schema = schema["anyOf"][-1] if "anyOf" in schema else _find_schema(described, schema["$ref"])
    return schema


def _find_schema(described: Schema, reference: str) -> Schema:
    found: Schema = described["components"]["schemas"][reference.rpartition("/")[2]]
    return found


def _kind(described: Schema, schema: Schema) -> str:
    """`integer`, `list of SearchResult`, `string or null`."""
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return " or ".join(dict.fromkeys(_kind(described, each) for each in schema[union]))
    if "$ref" in schema:
        named = _find_schema(described, schema["$ref"])
        return " | ".join(map(str, named["enum"])) if "enum" in named else str(named.get("title", "object"))
    if schema.get("type") == "array":
        return f"list of {_kind(described, schema.get('items', {}))}"
    return str(schema.get("type", "anything"))


def _remark(schema: Schema) -> str:
    return "; ".join(_remarks(schema))


def _remarks(schema: Schema) -> Iterator[str]:
    if "description" in schema:
        yield str(schema["description"])
    if schema.get("default") is not None:
        yield f"by default {json.dumps(schema['default'])}"
    bounded = [schema, *schema.get("anyOf", ())]
    for word, said in (
        ("minimum", "at least"),
        ("maximum", "at most"),
        ("maxLength", "at most"),
        ("maxItems", "at most"),
    ):
        for each in bounded:
            if word in each:
                unit = {"maxLength": " characters", "maxItems": " items"}.get(word, "")
                yield f"{said} {each[word]:,}{unit}"


def _prose(text: str) -> str:
    paragraphs = [each for each in text.strip().split("\n\n") if each]
    return "".join(f"<p>{_escape(each)}</p>" for each in paragraphs)


def _escape(text: str) -> str:
    return html.escape(str(text), quote=True)
