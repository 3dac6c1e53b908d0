"""The frame of the page, rendered by Gradio: layout, tabs, theme. rendering.py runs this file as a program.

Rule 1: no event calls Python, so Gradio's queue, uploads and files are never used, and no key passes through them.
Rule 2: Gradio's own routes are not served. Its page and style sheet are rendered once, its scripts are static files.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import re
import sys
from pathlib import Path
from typing import Any, Final

import gradio
from fastapi import FastAPI

STATIC: Final = Path(__file__).parent / "static"
LANGUAGES: Final = ("en", "zh")
TABS: Final = ("rerank", "search", "compare", "instructions", "quality", "watch")  # static/tabs.js has the same
FRONTEND: Final = Path(gradio.__file__).parent / "templates" / "frontend"
SERVED: Final = {  # by the first part of the path; no other file of Gradio's is served
    "page": STATIC,
    "assets": FRONTEND / "assets",
    "static": FRONTEND / "static",
}
MOUNTED: Final = "/ui"
HOST: Final = "winnow.invalid"  # stands in the rendered page until the browser puts its own address there
FROM_ELSEWHERE: Final = re.compile(rb'<(?:meta|link)\b[^>]*"https?://(?!winnow\.invalid)[^>]*>')
INLINE: Final = re.compile(rb"<script(?P<attributes>[^>]*)>(?P<text>.*?)</script>", re.DOTALL)
OPENING: Final = re.compile(rb"<html\s+lang=\"en\"")
BASE: Final = re.compile(rb"<base href=\"[^\"]*\" ?/>")
ADDRESS: Final = f'"http://{HOST}{MOUNTED}"'.encode()  # a literal in Gradio's inline scripts
OWN_ADDRESS: Final = b"document.baseURI.slice(0, -1)"
HEAD: Final = (
    b'<meta name="description" content="winnow: search and rerank under your instruction">'
    b'<link rel="icon" href="page/icon.svg"><link rel="stylesheet" href="page/page.css">'
    b'<link rel="stylesheet" href="page/tabs.css">'
    b'<script type="module" src="page/page.js"></script></head>'
)
NICENESS: Final = 5  # searches go first


async def render_shell() -> dict[str, Any]:
    """Render the page in every language. Returns what rendering.py reads."""
    app = FastAPI(openapi_url=None)
    gradio.mount_gradio_app(
        app,
        _blocks(),
        path=MOUNTED,
        ssr_mode=False,
        run_history=False,
        footer_links=[],
        theme=gradio.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
    )
    page = _cleaned(await _get(app, f"{MOUNTED}/"))
    hashes = " ".join(_hash_source(match) for match in INLINE.finditer(page) if b"src=" not in match["attributes"])
    return {
        "pages": {language: _in_language(page, language).decode() for language in LANGUAGES},
        "theme": (await _get(app, f"{MOUNTED}/theme.css")).decode(),
        # Gradio's HTML component compiles its template with `new Function`, and its components set style attributes.
        "policy": (
            f"default-src 'none'; script-src 'self' 'unsafe-eval' {hashes}; style-src 'self' 'unsafe-inline'; "
            "img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'self'; form-action 'none'; "
            "frame-ancestors 'none'"
        ),
        "folders": {name: str(folder) for name, folder in SERVED.items()},
    }


def _blocks() -> gradio.Blocks:
    with gradio.Blocks(title="winnow", analytics_enabled=False) as blocks:
        _fragment("top")
        with gradio.Tabs(elem_id="tabs"):
            for name in TABS:
                with gradio.Tab(name, elem_id=f"tab-{name}", render_children=True):
                    _fragment(name)
        _fragment("document")
    return blocks


def fragment_path(name: str) -> Path:
    """Return the file of a part, which has a folder of its own or none."""
    own = STATIC / name / f"{name}.html"
    return own if own.is_file() else STATIC / f"{name}.html"


def _fragment(name: str) -> None:
    """Add a part of the page, whose words page.js fills in."""
    html = fragment_path(name).read_text(encoding="utf-8")
    gradio.HTML(html, elem_id=f"part-{name}", apply_default_css=False, js_on_load=None)


def _cleaned(page: bytes) -> bytes:
    """Remove links to other hosts, and let the browser derive the page's address from its own."""
    page = FROM_ELSEWHERE.sub(b"", page)
    page = BASE.sub(b'<base href="./ui/" />', page)
    page = page.replace(ADDRESS, OWN_ADDRESS)
    assert HOST.encode() not in page, "Gradio writes its address elsewhere now. This is a bug."
    return page.replace(b"</head>", HEAD, 1)


def _in_language(page: bytes, language: str) -> bytes:
    """Write the language twice: Gradio's scripts overwrite `lang` with the browser's own."""
    return OPENING.sub(f'<html lang="{language}" data-language="{language}"'.encode(), page, count=1)


def _hash_source(script: re.Match[bytes]) -> str:
    digest = base64.b64encode(hashlib.sha256(script["text"]).digest()).decode()
    return f"'sha256-{digest}'"


async def _get(app: FastAPI, path: str) -> bytes:
    """Return what the app answers to GET, without a server."""
    body = bytearray()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] == 200, f"Gradio answers {message['status']} for {path}. This is a bug."
        else:
            body.extend(message.get("body", b""))

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", HOST.encode())],
        "server": (HOST, 80),
        "client": ("127.0.0.1", 0),
    }
    await app(scope, receive, send)
    return bytes(body)


def main() -> None:
    os.nice(NICENESS)
    sys.stdout.write(json.dumps(asyncio.run(render_shell())))


if __name__ == "__main__":
    main()
