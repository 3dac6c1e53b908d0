"""The issue's own scenario over the command line and over HTTP: a lost catalog costs no document."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.answers import CheckingClient
from tests.fakes import PrefersWord
from tests.snapshots import contents, made
from tests.unit.api.collections.test_pairing import everything, lose, put_back
from tests.unit.api.http.routes.test_routes import parts_over
from winnow.api.cli.main import app
from winnow.api.collections.pairing import join
from winnow.api.http.app import create_app
from winnow.retrieval.errors import CatalogMismatch, CollectionNotFound, FolderUnknown, InvalidRequest, SettingInvalid
from winnow.retrieval.files.layout import Layout
from winnow.retrieval.model.tokenizer import PlainTokenizer


def typed(*words: object, given: str | None = None) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words], input=given)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_indexing_after_the_catalog_was_lost_is_refused_and_adopting_is_the_way_back(tmp_path: Path) -> None:
    """Nothing of the old documents is lost; the first catalog, back again, is refused until it is adopted in turn."""
    data, corpus = tmp_path / "data", tmp_path / "other.jsonl"
    before = contents(disk := made(data), "docs")
    disk.catalog.database.close()
    corpus.write_text('{"id": "stranger", "text": "of somebody else"}\n')
    files, away = everything(data), lose(data)
    for words in (["index", corpus, "--collection", "docs"], ["verify"], ["collections", "list"]):
        with pytest.raises(CatalogMismatch, match=r"missing or empty, and holds docs.*adopt --all"):
            typed(*words, "--data", data)
    assert everything(data) == files
    declined = typed("collections", "adopt", "docs", "--data", data, given="n\n")
    assert (declined.exit_code, "Join them?" in declined.stderr) == (1, True)
    assert not (data / "catalog.sqlite").exists()
    adopted = typed("collections", "adopt", "--all", "--yes", "--json", "--data", data)
    assert json.loads(adopted.stdout) == {
        "adopted": [{"name": "docs", "documents": 6, "chunks": adopted_chunks(before)}],
        "other_tenants": [],
    }
    assert json.loads(typed("verify", "--json", "--data", data).stdout)["ok"] is True
    put_back(data, away)
    with pytest.raises(CatalogMismatch):
        typed("verify", "--data", data)
    assert (
        "Registered 0 collections in the catalog" in typed("collections", "adopt", "--all", "-y", "--data", data).stderr
    )
    assert json.loads(typed("verify", "--json", "--data", data).stdout)["ok"] is True


def adopted_chunks(before: dict[str, object]) -> int:
    chunks = before["chunks"]
    assert isinstance(chunks, list)
    return len(chunks)


def test_a_misspelt_name_or_folder_joins_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    made(data).catalog.database.close()
    lose(data)
    for words, error in (
        (["nothing", "--data", data], CollectionNotFound),
        (["--all", "--data", tmp_path / "missing"], SettingInvalid),
        (["--data", data], InvalidRequest),
        (["docs", "--all", "--data", data], InvalidRequest),
    ):
        with pytest.raises(error):
            typed("collections", "adopt", "--yes", *words)
    assert not (data / "catalog.sqlite").exists()
    assert not (tmp_path / "missing").exists()


def test_a_folder_that_the_catalog_does_not_know_is_a_conflict_over_http(
    tmp_path: Path, tokenizer: PlainTokenizer
) -> None:
    """Named without saying where the data folder lies, and nothing in it is touched."""
    data = tmp_path / "data"
    made(data).catalog.database.close()
    lose(data)
    join(Layout(data), None)
    files = everything(data)
    parts = parts_over(data, tokenizer, PrefersWord("a"))
    with CheckingClient(create_app(parts), base_url="http://localhost") as client:
        refused = client.post("/v1/collections", json={"name": "docs"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "folder_unknown")
    assert "collections/default/docs" in refused.json()["detail"]
    assert str(tmp_path) not in refused.text
    assert everything(data) == files
    with pytest.raises(FolderUnknown):
        parts.ingest.make("default", "docs")
