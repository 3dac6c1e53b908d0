"""One broken collection is listed with its problem, /readyz names it, and the others work."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from tests.answers import CheckingClient
from tests.fakes import PrefersWord
from tests.unit.api.http.routes.test_routes import DOCUMENTS, parts_over
from winnow.api.cli.main import app
from winnow.api.collections.data_folder import DataFolder
from winnow.api.diagnostics.doctor import data_found
from winnow.api.diagnostics.verify import verified
from winnow.api.http.app import create_app
from winnow.api.settings import Settings
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.tenancy import DEFAULT_TENANT

Damage = Callable[[CollectionFolder], object]


def flip_the_manifest(folder: CollectionFolder) -> None:
    newest = min((folder.corpus / "_versions").glob("*.manifest"))
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)


def put_a_file_there(folder: CollectionFolder) -> None:
    shutil.rmtree(folder.path)
    folder.path.write_text("no folder")


DAMAGES = {
    "folder removed": lambda folder: shutil.rmtree(folder.path),
    "folder is a file": put_a_file_there,
    "store removed": lambda folder: shutil.rmtree(folder.corpus),
    "data removed": lambda folder: shutil.rmtree(folder.corpus / "data"),
    "manifest flipped": flip_the_manifest,
    "next number damaged": lambda folder: (folder.corpus / "next_chunk_number").write_text("x"),
}


@pytest.fixture(params=["before the start", "while it runs"])
def when(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=DAMAGES)
def damage(request: pytest.FixtureRequest) -> Damage:
    return DAMAGES[request.param]


@pytest.fixture
def client(tmp_path: Path, tokenizer: PlainTokenizer, when: str, damage: Damage) -> Iterator[TestClient]:
    """Over two collections, of which `broken` is damaged."""

    def served() -> TestClient:
        parts = parts_over(tmp_path / "data", tokenizer, PrefersWord("heron"))
        return CheckingClient(create_app(parts), base_url="http://localhost", raise_server_exceptions=False)

    with served() as client:
        for name in ("broken", "sound"):
            assert client.post("/v1/collections", json={"name": name}).status_code == 201
            client.post(f"/v1/collections/{name}/documents", json={"documents": DOCUMENTS})
        if when == "while it runs":
            damage(folder_of(tmp_path))
            yield client
            return
    damage(folder_of(tmp_path))
    with served() as client:
        yield client


def folder_of(folder: Path) -> CollectionFolder:
    return DataFolder.existing(folder / "data").layout.collection(DEFAULT_TENANT, "broken")


def test_the_others_work_and_the_problem_is_named(client: TestClient, tmp_path: Path) -> None:
    """In the list, in /readyz, on the command line, in doctor and verify; searches and writes of the other go on."""
    listed = client.get("/v1/collections")
    assert listed.status_code == 200
    problems = {each["name"]: each["problem"] for each in listed.json()["collections"]}
    assert problems["sound"] is None
    assert "corpus.lance" in problems["broken"]
    assert client.get("/v1/collections/broken").json()["problem"] == problems["broken"]
    ready = client.get("/readyz").json()
    assert {each["name"]: bool(each["problem"]) for each in ready["collections"]} == {"broken": True, "sound": False}
    assert f"collection broken: {problems['broken']}" in ready["problems"]
    found = client.post("/v1/search", json={"query": "heron", "collection": "sound"})
    assert found.json()["results"][0]["document_id"] == "herons"
    written = client.post("/v1/collections/sound/documents", json={"id": "new", "text": "A new one."})
    assert (written.status_code, written.json()["accepted"]) == (200, 1)
    assert client.post("/v1/collections", json={"name": "third"}).status_code == 201
    assert client.get("/metrics").status_code == 200
    assert client.get("/v1/usage").status_code == 200
    _looked_at_from_the_command_line(tmp_path / "data")


def _looked_at_from_the_command_line(data: Path) -> None:
    shown = CliRunner().invoke(app, ["collections", "list", "--data", str(data)])
    assert shown.exit_code == 0, shown.output
    disk = DataFolder.existing(data)
    counted = sum(each.documents or 0 for each in disk.described(DEFAULT_TENANT))
    assert counted in {4, 7}  # the damaged one counts where it can still be counted
    assert "collection broken: " in (data_found(Settings(data=data)).problem or "")
    faults = {check.collection for check in verified(disk) if check.fault}
    assert "broken" in faults
    assert "sound" not in faults


@pytest.mark.parametrize("when", ["while it runs"], indirect=True)
@pytest.mark.parametrize("damage", [lambda folder: folder.path], ids=["none"])
def test_a_data_folder_that_was_renamed_away_is_named(client: TestClient, tmp_path: Path) -> None:
    """Nothing is ready then, and /readyz itself goes on answering."""
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    told = client.get("/readyz")
    assert (told.status_code, told.json()["status"]) == (503, "not ready")
    assert any("is gone: move it back" in problem for problem in told.json()["problems"])
