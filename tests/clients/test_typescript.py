"""The TypeScript client: its types are those of the service, and it works against one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from docs.generate import typescript
from tests.clients.node import TYPESCRIPT, missing_from
from tests.fakes import PrefersWord
from tests.unit.api.http.routes.test_routes import parts_over
from tests.unit.conftest import tokenizer  # noqa: F401  the fixture
from tests.wire_service import listening
from winnow.api.http.app import create_app
from winnow.retrieval.model.tokenizer import PlainTokenizer

SECONDS_MAX = 120
KEY = "typescript-key"


def test_the_committed_types_are_those_of_the_description() -> None:
    """Seen without Node, by the hash of the description that they were written from."""
    assert typescript.is_current(), f"The OpenAPI description has changed. Run `{typescript.COMMAND}` and commit"


def test_every_refusal_has_the_usual_body() -> None:
    """Types name it once for each operation, and keep any other body that an answer may have."""
    usual = {"content": {typescript.MEDIA_TYPE: typescript.PROBLEM}}
    other = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/ReadyResponse"}}}}
    joined = typescript._joined({"200": {}, "307": {}, "404": usual, "422": usual, "503": other})
    assert list(joined) == ["200", "503", "default"]
    assert joined["default"]["content"] == usual["content"]


def node(*command: str) -> None:
    done = subprocess.run(command, cwd=TYPESCRIPT, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_the_client_works_in_node(tmp_path: Path, tokenizer: PlainTokenizer) -> None:  # noqa: F811
    """Strictly compiled, its calls answer as typed: writing, searching, reranking, and refusals as one error class."""
    if (reason := missing_from(TYPESCRIPT)) is not None:
        pytest.skip(f"The TypeScript client was not tried: {reason}")
    assert typescript.written() == typescript.TYPES.read_text(encoding="utf-8")
    node("node_modules/.bin/tsc", "--outDir", str(tmp_path / "dist"))
    (tmp_path / "node_modules").symlink_to(TYPESCRIPT / "node_modules")
    (tmp_path / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    parts = parts_over(tmp_path / "data", tokenizer, PrefersWord("heron"), api_key=KEY)
    with listening(create_app(parts)) as port:
        node("node", str(tmp_path / "dist" / "test" / "live.js"), f"http://127.0.0.1:{port}", KEY)
