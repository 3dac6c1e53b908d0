"""No key, no query and no text comes into a log, whatever goes wrong."""

from __future__ import annotations

import io
import logging
import logging.config
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.answers import CheckingClient
from tests.fakes import PrefersWord
from tests.unit.api.http.routes.test_routes import parts_over
from winnow.api.cli.serve import LOGGING, log_config
from winnow.api.http.app import create_app
from winnow.api.http.log_format import JsonFormatter, LineFormatter
from winnow.api.http.log_redaction import RedactedFormatter, without_secrets
from winnow.api.settings import Settings
from winnow.retrieval.catalog.keys import ALL_SCOPES, KeyWish, id_of, new_key_text
from winnow.retrieval.errors import InvalidRequest, RerankUnavailable, StoreCorrupt
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.tenancy import COMMAND_LINE, DEFAULT_TENANT

CANARY = "canary-of-a-text"


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """Everything that any logger says, as `winnow serve` would write it."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(RedactedFormatter(LOGGING["formatters"]["line"]["fmt"]))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield written
    root.setLevel(level)
    root.removeHandler(handler)


def fail(error: Exception) -> None:
    raise error


def failing(error: Exception) -> str:
    record = logging.LogRecord("x", logging.ERROR, "f", 1, "it failed", None, None)
    with pytest.raises(type(error)) as raised:
        fail(error)
    record.exc_info = (raised.type, raised.value, raised.tb)
    return RedactedFormatter("%(message)s").format(record)


def test_the_service_logs_by_this_formatter() -> None:
    """Every handler, in both forms; and the log of requests at a rate."""
    for form, kind in (("text", LineFormatter), ("json", JsonFormatter)):
        config = logging.config.DictConfigurator(log_config(Settings(log_format=form)))
        for handler in config.config["handlers"].values():
            formatter = config.configure_formatter(config.config["formatters"][handler["formatter"]])
            assert type(formatter) is kind
            assert isinstance(formatter, RedactedFormatter)
    assert LOGGING["loggers"]["winnow.api.http.observed"]["filters"] == ["sparing"]


def test_a_key_keeps_its_id_and_loses_its_secret() -> None:
    """Anywhere in a line; a deployment's own key is known by the word before it."""
    key = new_key_text()
    said = without_secrets(f"got {key!r} and Authorization: Bearer {key} and bearer hunter2")
    assert key.rpartition("_")[2][:16] not in said
    assert said.count(str(id_of(key))) == 2
    assert "hunter2" not in said


@pytest.mark.parametrize("kind", [ValueError, KeyError, TypeError, AttributeError, InvalidRequest, AssertionError])
def test_words_that_may_repeat_what_was_sent_are_withheld(kind: type[Exception]) -> None:
    """Type and place stay."""
    said = failing(kind(CANARY))
    assert CANARY not in said
    assert kind.__name__ in said
    assert f"{Path(__file__).name}" in said
    assert "in fail\n" in said


def test_words_of_the_machine_stay() -> None:
    """Who runs the service needs them."""
    assert "No space left on device" in failing(OSError(28, "No space left on device", "/data/x"))
    assert "out of memory" in failing(RuntimeError("CUDA out of memory"))
    assert "sums differ" in failing(StoreCorrupt("sums differ"))


def test_causes_are_told_by_the_same_rule() -> None:
    """The error that led to an error may be the one with the text."""
    outer = RuntimeError("outer")
    outer.__cause__ = ValueError(CANARY)
    said = failing(outer)
    assert CANARY not in said
    assert said.index("ValueError") < said.index("RuntimeError: outer")


class Quotes:
    """A reranker that fails with what it was given in its mouth, in a way that nobody foresaw."""

    name = "quotes"
    reads_instruction = True

    def changes_order(self, instruction: str) -> bool:
        return True

    async def rank(self, query: str, candidates: Any, **_: Any) -> Any:
        if CANARY not in query:  # the known pairs of the start
            raise RerankUnavailable("quotes")
        raise ValueError(f"cannot rank {query} {[each.chunk.text for each in candidates]}")


def test_no_failure_brings_what_was_sent_into_the_log(
    tmp_path: Path, tokenizer: PlainTokenizer, logged: io.StringIO
) -> None:
    """Keys that are refused, bodies that are wrong, names that are not there, errors that nobody foresaw."""
    parts = parts_over(tmp_path, tokenizer, Quotes(), PrefersWord("a"))
    key = parts.disk.catalog.keys.make(DEFAULT_TENANT, KeyWish(scopes=ALL_SCOPES, note=CANARY), by=COMMAND_LINE).text
    refused = new_key_text()
    with CheckingClient(create_app(parts), base_url="http://x.example.org", raise_server_exceptions=False) as client:
        for sent in (refused, f"{key}0", CANARY):
            assert client.get("/v1/keys", headers={"authorization": f"Bearer {sent}"}).status_code == 401
        client.headers["authorization"] = f"Bearer {key}"
        assert client.post("/v1/collections", json={"name": "docs"}).status_code == 201
        document = {"id": CANARY, "text": f"A {CANARY}", "metadata": {CANARY: CANARY}}
        assert client.post("/v1/collections/docs/documents", json=document).status_code == 200
        search = {"query": CANARY, "collection": "docs", "instruction": CANARY}
        statuses = [
            client.post("/v1/search", json=search).status_code,
            client.post("/v1/search", json=search | {"collection": CANARY}).status_code,
            client.post("/v1/search", json=search | {"collection": "none"}).status_code,
            client.post("/v1/search", json={CANARY: CANARY}).status_code,
            client.post("/v1/search", content=CANARY.encode()).status_code,
            client.post("/v1/rerank", json={"query": CANARY, "documents": [CANARY]}).status_code,
            client.post("/v1/collections/docs/documents", json={"id": CANARY, "text": 1}).status_code,
            client.post("/v1/instructions", json={"name": CANARY, "text": "\0" + CANARY}).status_code,
            client.post("/v1/keys", json={"note": "\0" + CANARY}).status_code,
        ]
    assert statuses[0] == statuses[5] == 500
    assert min(statuses[1:5]) >= 404
    said = logged.getvalue()
    for secret in (CANARY, key.rpartition("_")[2][:16], refused.rpartition("_")[2][:16]):
        assert secret not in said
