"""Three real services over one data folder: a healthy one, one whose reranker is down, one whose embedder is down."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.acceptance.conftest import Command, command_in
from tests.clients.observations import DOCUMENTS, INSTRUCTION, QUERY, Target
from tests.orphans import ends_with_parent

NOWHERE: Final = "http://127.0.0.1:9"  # no model server listens there
COLLECTION: Final = "policy"
INSTRUCTION_NAME: Final = "chinese-first"
TITLES: Final = {"delivery-en": "Delivery", "returns-zh": "退货", "returns-en": "Returns"}
WRONG_KEY: Final = "wk_0123456789ab_" + 64 * "0"
READY_SECONDS: Final = 180  # of a machine that is very busy
CORPUS: Final = Path(__file__).resolve().parents[2] / "data" / "corpus"


@contextlib.contextmanager
def services(folder: Path) -> Iterator[Target]:
    """Start them, and stop them at the end."""
    command = command_in(folder / "data", {})
    key, limited = _prepare(command, folder)
    with contextlib.ExitStack() as running:
        healthy, rerank_down, embed_down = (
            running.enter_context(_serving(command, folder / f"{name}.log", **down))
            for name, down in (
                ("healthy", {}),
                ("rerank-down", {"WINNOW_RERANK_URL": NOWHERE}),
                ("embed-down", {"WINNOW_EMBED_URL": NOWHERE}),
            )
        )
        yield Target(
            url=healthy,
            rerank_down_url=rerank_down,
            embed_down_url=embed_down,
            key=key,
            wrong_key=WRONG_KEY,
            limited_key=limited,
            model="winnow-rerank",
            instructed_model=f"winnow-rerank@{INSTRUCTION_NAME}",
            unknown_model="winnow-rerank@no-such-instruction",
            embedding_model="winnow-embed",
            instruction=INSTRUCTION,
            collection=COLLECTION,
            query=QUERY,
            documents=DOCUMENTS,
            winnow=command.argv(),
        )


@contextlib.contextmanager
def chatbot_service(folder: Path) -> Iterator[tuple[str, str]]:
    """A service that holds data/corpus in one collection. Yields its URL and a key."""
    command = command_in(folder / "data", {})
    _done(command, "index", str(CORPUS), "--collection", "corpus")
    key = _done(command, "keys", "create", "--scope", "search")
    with _serving(command, folder / "service.log") as url:
        yield url, key


def _prepare(command: Command, folder: Path) -> tuple[str, str]:
    """Fill the data folder. Return a key, and the key of a tenant with four requests a minute."""
    lines = [json.dumps({"id": name, "title": TITLES[name], "text": text}) for name, text in DOCUMENTS.items()]
    source = folder / "policy.jsonl"
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    _done(command, "index", str(source), "--collection", COLLECTION)
    _done(command, "instructions", "publish", INSTRUCTION_NAME, INSTRUCTION)
    limited = _done(command, "tenants", "create", "limited")
    _done(command, "index", str(source), "--collection", COLLECTION, "--tenant", "limited")
    _done(command, "limits", "set", "limited", "--requests-per-minute", "4")
    return _done(command, "keys", "create", "--scope", "search", "--scope", "write"), limited


def _done(command: Command, *arguments: str) -> str:
    finished = command.run(*arguments)
    if finished.code != 0:
        raise RuntimeError(f"winnow {' '.join(arguments)} failed: {finished.err}")
    return finished.out.strip()


@contextlib.contextmanager
def _serving(command: Command, log: Path, **variables: str) -> Iterator[str]:
    """The URL on which it listens."""
    with log.open("wb") as written:
        process = subprocess.Popen(
            ends_with_parent(command.argv("serve", "--port", "0")),
            stdout=written,
            stderr=subprocess.STDOUT,
            env=command.environment | variables,
        )
        try:
            yield _listening(process, log)
        finally:
            process.terminate()
            process.wait(30)


def _listening(process: subprocess.Popen[bytes], log: Path) -> str:
    """Wait until it listens: two of the three are never ready."""
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end and process.poll() is None:
        said = log.read_text(encoding="utf-8", errors="replace")
        found = re.search(r"^Listening +(http\S+)$", said, re.MULTILINE)
        if found is not None:
            return found[1]
        time.sleep(0.1)
    raise RuntimeError(f"The service does not listen: {log.read_text(encoding='utf-8', errors='replace')}")
