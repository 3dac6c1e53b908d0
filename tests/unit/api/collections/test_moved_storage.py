"""What was opened and no longer lies at its path takes no write that would be acknowledged and lost."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.answers import CheckingClient
from tests.builders import DIMENSION, written
from tests.fakes import HashEmbedder, PrefersWord
from tests.unit.api.collections.test_pairing import everything
from winnow.api.assemble import Services, wire
from winnow.api.http.app import create_app
from winnow.api.model_loading import LoadedEmbedder, LoadedReranker
from winnow.api.settings import Settings
from winnow.retrieval.catalog.keys import ALL_SCOPES, KeyWish
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.keys import SqlKeys
from winnow.retrieval.catalog.sql.tenants import SqlTenants
from winnow.retrieval.errors import StorageError, StorageMoved
from winnow.retrieval.files.durable import DISK
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.store.lance_store import LanceStore
from winnow.retrieval.tenancy import COMMAND_LINE, DEFAULT_TENANT

DOCUMENT = {"id": "a", "text": "A heron."}


@pytest.fixture(params=["sqlite", "postgres"])
def parts(request: pytest.FixtureRequest, tmp_path: Path, tokenizer: PlainTokenizer) -> Services:
    url = None if request.param == "sqlite" else request.getfixturevalue("postgres").new()
    embedding = LoadedEmbedder(embedder=HashEmbedder(), tokenizer=tokenizer, runs_on="hash", device="cpu")
    judging = LoadedReranker(reranker=PrefersWord("heron"), runs_on="words", device="cpu")
    return wire(Settings(data=tmp_path / "data", catalog_url=url), embedding, judging)


@pytest.fixture
def client(parts: Services) -> Iterator[TestClient]:
    """One collection, one key with which everything may be asked, and another to revoke."""
    key = parts.disk.catalog.keys.make(DEFAULT_TENANT, KeyWish(scopes=ALL_SCOPES), by=COMMAND_LINE).text
    with CheckingClient(create_app(parts), base_url="http://localhost") as client:
        client.headers["authorization"] = f"Bearer {key}"
        assert client.post("/v1/collections", json={"name": "docs"}).status_code == 201
        assert client.post("/v1/collections/docs/documents", json=DOCUMENT).status_code == 200
        yield client


def writes(client: TestClient, key_id: str) -> dict[str, Callable[[], object]]:
    """Something of every kind that is written."""
    return {
        "upsert": lambda: client.post("/v1/collections/docs/documents", json={"id": "b", "text": "Another."}),
        "delete": lambda: client.delete("/v1/collections/docs/documents/a"),
        "make": lambda: client.post("/v1/collections", json={"name": "more"}),
        "remove": lambda: client.delete("/v1/collections/docs"),
        "revoke": lambda: client.delete(f"/v1/keys/{key_id}"),
        "publish": lambda: client.post("/v1/instructions", json={"name": "house", "text": "Prefer birds"}),
    }


def refused(client: TestClient, key_id: str, *, kinds: set[str]) -> None:
    """Every such write with 503, and /readyz says why."""
    for kind, write in writes(client, key_id).items():
        if kind in kinds:
            answer = write()
            assert isinstance(answer.status_code, int)
            assert (kind, answer.status_code, answer.json()["error"]["code"]) == (kind, 503, "storage_moved")
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (503, "not ready")


EVERY = {"upsert", "delete", "make", "remove", "revoke", "publish"}
DOCUMENTS = {"upsert", "delete", "make", "remove"}


def test_a_data_folder_that_was_renamed_away_is_not_made_again(client: TestClient, parts: Services) -> None:
    """Nothing is written below its path or where it went; back in its place it is written to again."""
    key_id = parts.disk.catalog.keys.make(DEFAULT_TENANT, KeyWish(scopes=ALL_SCOPES), by=COMMAND_LINE).key.id
    root = parts.disk.layout.root
    away = root.with_name("away")
    on_server = parts.settings.catalog_url is not None
    root.rename(away)
    files = everything(away)
    refused(client, key_id, kinds=DOCUMENTS if on_server else EVERY)
    assert not root.exists()
    assert everything(away) == files
    away.rename(root)
    assert client.post("/v1/collections/docs/documents", json={"id": "b", "text": "Another."}).status_code == 200
    assert client.delete(f"/v1/keys/{key_id}").status_code == 200


def test_a_data_folder_that_was_replaced_by_a_copy_is_left_alone(client: TestClient, parts: Services) -> None:
    """By a backup, say: the copy has the same names and the same ids."""
    key_id = parts.disk.catalog.keys.make(DEFAULT_TENANT, KeyWish(scopes=ALL_SCOPES), by=COMMAND_LINE).key.id
    root = parts.disk.layout.root
    root.rename(root.with_name("away"))
    shutil.copytree(root.with_name("away"), root)
    files = everything(root)
    refused(client, key_id, kinds=DOCUMENTS if parts.settings.catalog_url is not None else EVERY)
    assert everything(root) == files


def test_a_collection_that_was_replaced_by_a_copy_is_left_alone(client: TestClient, parts: Services) -> None:
    folder = parts.disk.layout.collection(DEFAULT_TENANT, "docs").path
    folder.rename(folder.parents[3] / "away")
    shutil.copytree(folder.parents[3] / "away", folder)
    for kind in ("upsert", "delete"):
        answer = writes(client, "")[kind]()
        assert isinstance(answer.status_code, int)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "storage_moved")


@pytest.mark.parametrize("parts", ["sqlite"], indirect=True)
def test_a_catalog_that_was_replaced_takes_no_revocation(client: TestClient, parts: Services) -> None:
    """The key of which we are told that it is revoked would work after the next start."""
    key_id = parts.disk.catalog.keys.make(DEFAULT_TENANT, KeyWish(scopes=ALL_SCOPES), by=COMMAND_LINE).key.id
    path = parts.disk.layout.catalog
    shutil.copy2(path, path.with_name("backup"))
    path.with_name("backup").replace(path)
    content = path.read_bytes()
    refused(client, key_id, kinds=EVERY)
    assert path.read_bytes() == content


class Moving:
    """Moves a folder away at its n-th sync. Implements `Syncer`."""

    def __init__(self, folder: Path, nth: int) -> None:
        self._folder, self._left = folder, nth

    def sync(self, path: Path) -> None:
        self._left -= 1
        if self._left == 0:
            self._folder.rename(self._folder.with_name("away"))
            self._folder.mkdir()
        if path.exists():
            DISK.sync(path)


@pytest.mark.parametrize("nth", range(1, 9))
def test_a_store_that_moves_in_the_middle_of_a_commit_acknowledges_nothing(tmp_path: Path, nth: int) -> None:
    """Whatever had been synced by then; a write that ends before that is none of this."""
    path = tmp_path / "corpus.lance"
    LanceStore.create(path, dimension=DIMENSION)
    store = LanceStore.open(path, dimension=DIMENSION, syncer=Moving(path, nth))
    acknowledged = []
    with contextlib.suppress(StorageMoved, StorageError):
        for number in range(9):
            store.replace([written(f"d{number}", "text", pieces=1)])
            acknowledged.append(f"d{number}")
    assert len(acknowledged) < 9
    with pytest.raises((StorageMoved, StorageError)):
        store.replace([written("later", "text", pieces=1)])
    shutil.rmtree(path)
    (tmp_path / "away").rename(path)
    found = LanceStore.open(path, dimension=DIMENSION).snapshot().content_hashes()
    assert set(acknowledged) <= set(found) <= {*acknowledged, f"d{len(acknowledged)}"}


@pytest.mark.parametrize("end", ["", "-wal", "-shm"])
@pytest.mark.parametrize("how", ["gone", "replaced"])
def test_a_file_of_the_catalog_that_moves_is_noticed(tmp_path: Path, end: str, how: str) -> None:
    """Before a transaction and in the middle of one; in its place again, it is written to again."""
    path = tmp_path / "catalog.sqlite"
    database = SqlDatabase.open(path)
    tenants = SqlTenants(database)
    tenants.make("before", by=COMMAND_LINE)
    file, away = path.with_name(f"catalog.sqlite{end}"), tmp_path / "away"

    def move() -> None:
        file.rename(away)
        if how == "replaced":
            shutil.copy2(away, file)

    def disturbed() -> None:
        with database.writing() as connection:
            connection.exec_driver_sql("UPDATE tenants SET disabled_at = 'then'")
            move()

    with pytest.raises(StorageMoved, match=file.name):
        disturbed()
    with pytest.raises(StorageMoved, match=file.name):
        tenants.make("after", by=COMMAND_LINE)
    away.replace(file)
    assert tenants.make("after", by=COMMAND_LINE).name == "after"
    database.close()


def test_two_connections_never_read_two_catalogs(tmp_path: Path) -> None:
    """One that is made after the file was replaced is refused."""
    path = tmp_path / "catalog.sqlite"
    database = SqlDatabase.open(path)
    with database.reading():
        shutil.copy2(path, tmp_path / "copy")
        (tmp_path / "copy").replace(path)
        with pytest.raises(StorageMoved):
            SqlKeys(database).has_any()
    database.close()


def test_looking_costs_microseconds(tmp_path: Path) -> None:
    """So that it is done with every write."""
    database = SqlDatabase.open(tmp_path / "catalog.sqlite")
    began = time.perf_counter()
    for _ in range(1_000):
        database.require_unmoved()
    assert time.perf_counter() - began < 1.0
    database.close()
