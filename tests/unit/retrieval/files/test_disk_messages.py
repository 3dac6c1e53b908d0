"""What a person reads where the disk takes no more, or never took anything."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy.exc

from tests.answers import CheckingClient
from tests.fakes import PrefersWord
from tests.tiny_models import write_embedder
from tests.unit.api.http.routes.test_routes import DOCUMENTS, parts_over
from winnow.api.cli import main as cli
from winnow.api.cli.terminal import Exit
from winnow.api.http.app import create_app
from winnow.retrieval.catalog.sql.sqlite import Sqlite
from winnow.retrieval.disk_causes import STORED, with_advice
from winnow.retrieval.errors import WriteFailed
from winnow.retrieval.files.durable import StrictSyncer, write_errors, write_file
from winnow.retrieval.model.tokenizer import PlainTokenizer

CAUSES = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "this user may not write there",
    errno.EPERM: "this user may not write there",
}


class Failing:
    """A disk that takes `sound` syncs, and then no more. Implements `Syncer`."""

    def __init__(self, number: int, *, sound: int = 0) -> None:
        self.number, self.sound = number, sound

    def sync(self, path: Path) -> None:
        self.sound -= 1
        with write_errors(path):
            if self.sound < 0:
                raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("number", CAUSES)
def test_a_failed_write_says_why_and_that_what_was_stored_is_stored(tmp_path: Path, number: int) -> None:
    """Once, also where one failure is told by a later one; Lance's words have only the number."""
    syncer = StrictSyncer(Failing(number))
    for _ in range(2):
        with pytest.raises(WriteFailed) as failed:
            write_file(tmp_path / "file", b"content", syncer=syncer)
        assert failed.value.message.count(CAUSES[number]) == 1
        assert failed.value.message.count(STORED) == 1
        assert os.strerror(number) in failed.value.message
    assert CAUSES[number] in WriteFailed(f"LanceError(IO): something (os error {number}), src/x.rs:1").message


def test_another_failure_gets_no_advice_that_is_not_true() -> None:
    assert with_advice("corpus.lance: Input/output error (os error 5)").endswith("(os error 5)")


@pytest.mark.parametrize(
    ("said", "flag", "cause"),
    [
        ("database or disk is full", 0, errno.ENOSPC),
        ("attempt to write a readonly database", os.ST_RDONLY, errno.EROFS),
        ("unable to open database file", os.ST_RDONLY, errno.EROFS),
        ("attempt to write a readonly database", 0, errno.EACCES),
        ("unable to open database file", 0, errno.EACCES),
    ],
)
def test_the_catalog_says_which_of_them_it_is(
    tmp_path: Path, said: str, flag: int, cause: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite has one sentence for a read-only file system and a folder without permission."""
    monkeypatch.setattr("winnow.retrieval.catalog.sql.sqlite.os.statvfs", lambda _: SimpleNamespace(f_flag=flag))
    monkeypatch.setattr("winnow.retrieval.catalog.sql.sqlite.os.access", lambda *_: False)
    error = sqlalchemy.exc.OperationalError("INSERT", None, sqlite3.OperationalError(said))
    found = Sqlite(tmp_path / "catalog.sqlite").translated(error)
    assert isinstance(found, WriteFailed)
    assert CAUSES[cause] in found.message
    assert STORED in found.message


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_write_over_http_says_it_too(
    tmp_path: Path, tokenizer: PlainTokenizer, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """507, from our own writes and from a library's; what was stored before is found."""
    parts = parts_over(tmp_path, tokenizer, PrefersWord("refund"), api_key="secret")
    with CheckingClient(create_app(parts), headers={"authorization": "Bearer secret"}) as client:
        assert client.post("/v1/collections", json={"name": "docs"}).status_code == 201
        documents = "/v1/collections/docs/documents"
        assert client.post(documents, json={"documents": DOCUMENTS}).status_code == 200
        for raised in (OSError(number, os.strerror(number)), WriteFailed(os.strerror(number))):

            def failing(*_: object, raised: Exception = raised, **__: object) -> None:
                raise raised

            with monkeypatch.context() as patch:
                patch.setattr("winnow.retrieval.store.lance_store.LanceStore.replace", failing)
                answer = client.post(documents, json={"documents": [{"id": "new", "text": "more"}]})
            assert answer.status_code == 507, answer.text
            assert CAUSES[number] in answer.json()["detail"]
            assert STORED in answer.json()["detail"]
        assert client.get(f"{documents}/{DOCUMENTS[0]['id']}").status_code == 200


def test_indexing_onto_a_full_disk_says_that_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In sentences, and with what to do."""
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text(json.dumps({"id": "a", "text": "text"}) + "\n")

    def full(*_: object, **__: object) -> None:
        raise WriteFailed(os.strerror(errno.ENOSPC))

    monkeypatch.setattr("winnow.retrieval.store.lance_store.LanceStore.replace", full)
    model = str(write_embedder(tmp_path / "model"))
    assert ran(monkeypatch, "index", str(corpus), "-c", "docs", "--data", str(tmp_path / "d"), "--embed-model", model)
    said = " ".join(capsys.readouterr().err.split())
    assert "Committed documents stay; run the same command again to continue." in said
    assert "the disk is full" in said


def test_a_full_disk_under_a_library_is_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another of the system's errors stays what it is."""

    def failing(number: int) -> None:
        monkeypatch.setattr(
            "winnow.api.collections.data_folder.DataFolder.existing",
            lambda *_: (_ for _ in ()).throw(OSError(number, "said")),
        )

    failing(errno.ENOSPC)
    assert ran(monkeypatch, "collections", "list", "--data", str(tmp_path)) == Exit.FAILED
    assert "the disk is full" in " ".join(capsys.readouterr().err.split())
    failing(errno.ENXIO)
    with pytest.raises(OSError, match="said"):
        ran(monkeypatch, "collections", "list", "--data", str(tmp_path))


@pytest.mark.parametrize(
    "arguments",
    [
        ("index", "corpus.jsonl", "-c", "My Docs"),
        ("index", "corpus.jsonl", "-c", "owner/docs"),
        ("index", "corpus.jsonl", "-c", "docs", "--tenant", ".."),
        ("search", "question", "-c", "My Docs"),
        ("search", "question", "-c", "a/b/c"),
        ("search", "question", "-c", "docs", "--tenant", "A"),
        ("eval", "folder", "-c", "My Docs"),
        ("eval", "folder", "--tenant", ""),
        ("restore", "place", "-c", "../docs"),
        ("restore", "place", "-c", "docs", "--tenant", "a/b"),
        ("snapshot", "place", "-c", "My Docs"),
        ("generations", "list", "-c", "My Docs"),
        ("keys", "list", "--tenant", "My Team"),
        ("audit", "--tenant", "My Team"),
    ],
)
def test_a_name_that_cannot_be_one_is_refused_before_anything_is_opened(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No model is loaded, and no data folder is made."""
    monkeypatch.chdir(tmp_path)
    for opened in (
        "winnow.api.settings.load",
        "winnow.api.model_loading.load_embedding",
        "winnow.api.model_loading.load_reranker",
    ):
        monkeypatch.setattr(opened, lambda *_, **__: pytest.fail("something was loaded"))
    assert ran(monkeypatch, *arguments) == Exit.USAGE
    assert "is not a valid name" in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []


def test_a_reranker_that_is_not_configured_is_refused_before_any_is_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("winnow.api.model_loading.load_reranker", lambda *_, **__: pytest.fail("a model was loaded"))
    assert ran(monkeypatch, "rerank", "question", "text", "--reranker", "missing") != 0
    assert "missing" in capsys.readouterr().err


def ran(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["winnow", *arguments])
    return cli._exit_code()
