"""Uploaded files and vector stores: what OpenAI's client sends, and what must be there and gone afterwards."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.answers import CheckingClient
from tests.fakes import PrefersWord
from tests.unit.api.http.routes.test_routes import parts_over
from winnow.api.http.app import create_app
from winnow.api.http.routes.compat import form
from winnow.retrieval.catalog.quotas import TenantLimits
from winnow.retrieval.files.uploads import arriving
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.tenancy import DEFAULT_TENANT

NOTE = b"# Heron\n\nThe heron strikes at fish with its bill.\n"
ROWS = b'{"id": "egret", "text": "The egret wades."}\n{"id": "crane", "text": "The crane dances."}\n'
BOUNDARY = "limit-of-parts"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, tokenizer: PlainTokenizer) -> Iterator[TestClient]:
    app = create_app(parts_over(tmp_path_factory.mktemp("data"), tokenizer, PrefersWord("heron")))
    with CheckingClient(app, base_url="http://localhost") as client:
        yield client


@pytest.fixture
def client(service: TestClient) -> Iterator[TestClient]:
    """A service with one empty vector store, and nothing else before and after each test."""
    assert service.post("/v1/vector_stores", json={"name": "birds"}).json()["id"] == "birds"
    yield service
    for file in service.get("/v1/files").json()["data"]:
        assert service.delete(f"/v1/files/{file['id']}").status_code == 200
    for store in service.get("/v1/vector_stores?limit=100").json()["data"]:
        assert service.delete(f"/v1/vector_stores/{store['id']}").status_code == 200
    assert on_disk(service) == []


def uploaded(client: TestClient, name: str, content: bytes, purpose: str = "assistants") -> str:
    said = client.post("/v1/files", data={"purpose": purpose}, files={"file": (name, content)})
    assert said.status_code == 200, said.text
    assert (said.json()["bytes"], said.json()["filename"]) == (len(content), name)
    return str(said.json()["id"])


def attached(client: TestClient, file_id: str, store: str = "birds", **body: Any) -> Any:
    said = client.post(f"/v1/vector_stores/{store}/files", json={"file_id": file_id, **body})
    assert said.status_code == 200, said.text
    return said.json()


def found(client: TestClient, query: str = "heron", store: str = "birds", **body: Any) -> list[Any]:
    said = client.post(f"/v1/vector_stores/{store}/search", json={"query": query, **body})
    assert said.status_code == 200, said.text
    return list(said.json()["data"])


def on_disk(client: TestClient) -> list[str]:
    folder = client.app.state.parts.disk.layout.uploads_of(DEFAULT_TENANT)  # type: ignore[attr-defined]
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def documents(client: TestClient, store: str = "birds") -> set[str]:
    return {each["id"] for each in client.get(f"/v1/collections/{store}/documents").json()["documents"]}


def test_a_file_is_uploaded_attached_found_and_deleted(client: TestClient) -> None:
    """Bytes as they were sent, text as it was read, the file's own id and name in a search; then nothing is left."""
    file_id = uploaded(client, "Reiher – note.md", NOTE)
    assert client.get(f"/v1/files/{file_id}").json()["purpose"] == "assistants"
    content = client.get(f"/v1/files/{file_id}/content")
    assert (content.content, content.headers["x-content-type-options"]) == (NOTE, "nosniff")
    assert on_disk(client) == [file_id]
    said = attached(client, file_id, attributes={"lang": "en", "year": 2024, "draft": False})
    assert (said["status"], said["last_error"], said["winnow"]["documents"]) == ("completed", None, 1)
    (hit,) = found(client, filters={"type": "eq", "key": "year", "value": 2024})
    assert (hit["file_id"], hit["filename"]) == (file_id, "Reiher – note.md")
    assert hit["attributes"] == {"lang": "en", "year": 2024, "draft": False}
    texts = client.get(f"/v1/vector_stores/birds/files/{file_id}/content").json()["data"]
    assert "strikes at fish" in texts[0]["text"]
    store = client.get("/v1/vector_stores/birds").json()
    assert (store["file_counts"]["completed"], store["usage_bytes"]) == (1, len(NOTE))
    assert client.delete(f"/v1/files/{file_id}").json() == {"id": file_id, "object": "file.deleted", "deleted": True}
    assert (found(client), documents(client), on_disk(client)) == ([], set(), [])
    for path in (f"/v1/files/{file_id}", f"/v1/files/{file_id}/content", f"/v1/vector_stores/birds/files/{file_id}"):
        assert client.get(path).json()["error"]["code"] == "file_not_found"


def test_a_file_of_several_documents_goes_as_one(client: TestClient) -> None:
    """Records of a file are documents of it: all are found under its id, and all are removed from one store."""
    file_id, kept = uploaded(client, "rows.jsonl", ROWS), uploaded(client, "heron.md", NOTE)
    assert attached(client, file_id)["winnow"]["documents"] == 2
    attached(client, kept)
    assert {hit["file_id"] for hit in found(client, "bird")} == {file_id, kept}
    removed = client.delete(f"/v1/vector_stores/birds/files/{file_id}").json()
    assert removed == {"id": file_id, "object": "vector_store.file.deleted", "deleted": True}
    assert {each.partition("/")[0] for each in documents(client)} == {kept}
    assert client.get(f"/v1/files/{file_id}").status_code == 200
    assert client.delete(f"/v1/vector_stores/birds/files/{file_id}").status_code == 404


def test_other_attributes_take_the_place_of_all_former_ones(client: TestClient) -> None:
    file_id = uploaded(client, "heron.md", NOTE)
    attached(client, file_id, attributes={"lang": "en", "shelf": "a"})
    said = client.post(f"/v1/vector_stores/birds/files/{file_id}", json={"attributes": {"shelf": "b"}}).json()
    assert (said["attributes"], said["status"]) == ({"shelf": "b"}, "completed")
    (hit,) = found(client)
    assert hit["attributes"] == {"shelf": "b"}
    assert found(client, filters={"type": "eq", "key": "shelf", "value": "a"}) == []


@pytest.mark.parametrize(
    ("name", "content", "code", "said"),
    [
        ("blank.txt", b"  \n", "invalid_file", "no text"),
        ("torn.docx", b"PK\x03\x04 torn", "invalid_file", "damaged"),
        ("movie.bin", bytes(range(256)), "unsupported_file", ""),
    ],
)
def test_a_file_that_cannot_be_read_says_why(
    client: TestClient, *, name: str, content: bytes, code: str, said: str
) -> None:
    """It stays in the list with its reason, leaves no document, and can be listed by its status."""
    file_id = uploaded(client, name, content)
    answer = attached(client, file_id)
    assert (answer["status"], answer["last_error"]["code"]) == ("failed", code)
    assert said in answer["last_error"]["message"]
    assert documents(client) == set()
    listed = client.get("/v1/vector_stores/birds/files?filter=failed").json()
    assert [each["id"] for each in listed["data"]] == [file_id]
    assert client.get("/v1/vector_stores/birds/files?filter=completed").json()["data"] == []
    assert client.get("/v1/vector_stores/birds").json()["file_counts"]["failed"] == 1


def test_what_of_a_file_cannot_be_read_is_told(client: TestClient) -> None:
    """One member of an archive is empty: the others are found, and the reason stays with the file."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("heron.md", NOTE)
        archive.writestr("blank.txt", "  ")
    said = attached(client, uploaded(client, "birds.zip", packed.getvalue()))
    assert (said["status"], said["winnow"]["documents"], said["winnow"]["rejected"]) == ("completed", 1, 1)
    assert "no text" in said["winnow"]["first_reject"]


def test_pages_are_complete_even_while_files_are_deleted(client: TestClient) -> None:
    """Forwards and backwards, from a file that is gone, and with the ends that the client reads."""
    ids = [uploaded(client, f"{number}.txt", b"heron") for number in range(5)]
    first = client.get("/v1/files?limit=2").json()
    assert [each["id"] for each in first["data"]] == ids[:-3:-1]
    assert (first["first_id"], first["last_id"], first["has_more"]) == (ids[4], ids[3], True)
    client.delete(f"/v1/files/{ids[3]}")
    rest = client.get(f"/v1/files?limit=3&after={ids[3]}").json()
    assert ([each["id"] for each in rest["data"]], rest["has_more"]) == ([ids[2], ids[1], ids[0]], False)
    upwards = client.get(f"/v1/files?order=asc&after={ids[1]}").json()
    assert [each["id"] for each in upwards["data"]] == [ids[2], ids[4]]
    assert client.get("/v1/files?purpose=vision").json()["data"] == []
    assert client.get("/v1/files?after=elsewhere").status_code == 404


def test_vector_stores_page_by_time(client: TestClient) -> None:
    """The newest first; a name that is taken or could be none gets an id of its own."""
    names = ["fish", "Fish of the Rhine", "fish"]
    ids = [client.post("/v1/vector_stores", json={"name": name}).json()["id"] for name in names]
    assert ids[0] == "fish"
    assert len(set(ids)) == 3
    listed = client.get("/v1/vector_stores?limit=2").json()
    assert [each["id"] for each in listed["data"]] == [ids[2], ids[1]]
    assert [each["name"] for each in listed["data"]] == ["fish", "Fish of the Rhine"]
    rest = client.get(f"/v1/vector_stores?after={listed['last_id']}").json()
    assert ([each["id"] for each in rest["data"]], rest["has_more"]) == (["fish", "birds"], False)
    upwards = client.get("/v1/vector_stores?order=asc&before=fish").json()
    assert [each["id"] for each in upwards["data"]] == ["birds"]
    assert client.get("/v1/vector_stores?after=nowhere").status_code == 404
    assert client.delete(f"/v1/vector_stores/{ids[1]}").json()["object"] == "vector_store.deleted"
    assert client.get(f"/v1/vector_stores/{ids[1]}").status_code == 404


def test_names_and_metadata_of_a_store_change(client: TestClient) -> None:
    made = client.post("/v1/vector_stores", json={"metadata": {"team": "a"}}).json()
    assert (made["name"], made["metadata"]) == (made["id"], {"team": "a"})
    changed = client.post(f"/v1/vector_stores/{made['id']}", json={"name": "Handbook"}).json()
    assert (changed["id"], changed["name"], changed["metadata"]) == (made["id"], "Handbook", {"team": "a"})
    assert client.post("/v1/vector_stores/nowhere", json={"name": "x"}).status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/v1/vector_stores", {"expires_after": {"anchor": "last_active_at", "days": 1}}, "does not expire"),
        ("/v1/vector_stores", {"file_ids": ["file-1"]}, "one by one"),
        ("/v1/vector_stores", {"chunking_strategy": {"type": "static"}}, "auto"),
        ("/v1/vector_stores/birds/file_batches", {"file_ids": ["file-1"]}, "/files"),
        ("/v1/uploads", {"bytes": 1}, "/v1/files"),
        ("/v1/vector_stores/birds/files", {"file_id": "x", "attributes": {"a": [1]}}, "attributes"),
        ("/v1/vector_stores/birds/files", {"file_id": "x", "attributes": {"a" * 65: 1}}, "attributes"),
    ],
)
def test_what_is_not_supported_is_refused_clearly(
    client: TestClient, *, path: str, body: dict[str, Any], said: str
) -> None:
    answer = client.post(path, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")
    assert said in answer.text


def formed(*parts: tuple[str, bytes], end: str = "--") -> bytes:
    rows = [f"--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + body for head, body in parts]
    return b"\r\n".join([*rows, f"--{BOUNDARY}{end}\r\n".encode()])


PURPOSE = ('name="purpose"', b"assistants")
FILE = ('name="file"; filename="a.txt"', b"heron")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (formed(FILE, PURPOSE), 200),  # in any order
        (formed(PURPOSE), 422),
        (formed(FILE), 422),
        (formed(FILE, FILE, PURPOSE), 422),
        (formed(FILE, PURPOSE, ('name="expires_after[seconds]"', b"60")), 422),
        (formed(('name="file"; filename="\xff"', b"x"), PURPOSE), 200),
        (formed(FILE, PURPOSE, end=""), 422),  # cut off
        (formed(FILE, PURPOSE)[:-12], 422),
        (formed(FILE, ('name="purpose"', b"a" * 2_000)), 413),
        (formed(FILE, ('name="purpose"', b"Not A Word")), 422),
        (formed(FILE, PURPOSE, *[(f'name="{n}"', b"") for n in range(20)]), 413),
        (b"", 422),
        (b"--other\r\n\r\n", 422),
        (formed(("nameless", b"x")), 422),
    ],
)
def test_a_form_is_read_or_refused_and_leaves_nothing(client: TestClient, *, body: bytes, status: int) -> None:
    """Whatever is sent; a refused upload leaves no byte on the disk."""
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    said = client.post("/v1/files", content=body, headers={"content-type": kind})
    assert said.status_code == status, said.text
    assert len(on_disk(client)) == len(client.get("/v1/files").json()["data"]) == (status == 200)


def test_another_body_is_no_upload(client: TestClient) -> None:
    assert client.post("/v1/files", json={"purpose": "assistants"}).status_code == 415
    assert on_disk(client) == []


def test_an_upload_is_bounded_wherever_it_comes_from(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of more bytes than the limit is refused while it arrives, announced or not."""
    monkeypatch.setattr(form, "FILE_BYTES_MAX", 1_000)
    said = client.post("/v1/files", data={"purpose": "assistants"}, files={"file": ("a.txt", b"x" * 1_001)})
    assert (said.status_code, on_disk(client)) == (413, [])


@pytest.mark.parametrize(
    "name",
    ["../../a.txt", "/etc/passwd", "..", ".", "a\\..\\b.txt", ".hidden", "x" * 400 + ".txt", "名" * 120 + ".tar.gz"],
)
def test_no_name_leads_out_of_the_folder(client: TestClient, name: str) -> None:
    """The name is kept as it was sent, and on the disk it is one that a file can have."""
    said = client.post("/v1/files", data={"purpose": "user_data"}, files={"file": (name, b"heron")})
    assert said.status_code == 200
    layout = client.app.state.parts.disk.layout  # type: ignore[attr-defined]
    (path,) = layout.upload(DEFAULT_TENANT, said.json()["id"]).iterdir()
    assert path.read_bytes() == b"heron"
    assert said.json()["filename"] == name[-255:]
    assert client.get(f"/v1/files/{said.json()['id']}/content").content == b"heron"


def test_uploads_count_as_stored(client: TestClient) -> None:
    """Against the tenant's limit of bytes, until they are deleted."""
    file_id = uploaded(client, "a.txt", b"heron " * 2_000)
    parts = client.app.state.parts  # type: ignore[attr-defined]
    held = parts.uploads._room.held(DEFAULT_TENANT, TenantLimits(bytes=10**9))
    now = sum(each.bytes for each in held.values())
    assert held["/files"].bytes == 12_000
    limited(client, TenantLimits(bytes=now + 5_000))
    refused = client.post("/v1/files", data={"purpose": "assistants"}, files={"file": ("b.txt", b"x" * 6_000)})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "storage_quota_exceeded")
    assert on_disk(client) == [file_id]
    client.delete(f"/v1/files/{file_id}")
    uploaded(client, "b.txt", b"x" * 6_000)
    limited(client, TenantLimits())


def limited(client: TestClient, limits: TenantLimits) -> None:
    parts = client.app.state.parts  # type: ignore[attr-defined]
    parts.disk.catalog.limits.set_limits(DEFAULT_TENANT, limits)
    parts.quotas._read_at = float("-inf")


def test_what_a_killed_upload_left_is_removed_at_the_next_start(client: TestClient) -> None:
    """A folder without a row goes; one that is still being written, and one with a row, stay."""
    parts = client.app.state.parts  # type: ignore[attr-defined]
    kept, left, busy = uploaded(client, "a.txt", b"heron"), "file-" + "0" * 24, "file-" + "1" * 24
    folder = parts.disk.layout.upload(DEFAULT_TENANT, left)
    folder.mkdir()
    (folder / "torn.txt").write_bytes(b"half")
    with arriving(parts.disk.layout.upload(DEFAULT_TENANT, busy)):
        parts.uploads.sweep()
        assert on_disk(client) == sorted([kept, busy])
    assert on_disk(client) == [kept]


def test_a_file_whose_bytes_are_gone_is_not_found(client: TestClient) -> None:
    file_id = uploaded(client, "a.txt", b"heron")
    (path,) = client.app.state.parts.disk.layout.upload(DEFAULT_TENANT, file_id).iterdir()  # type: ignore[attr-defined]
    path.unlink()
    assert client.get(f"/v1/files/{file_id}/content").status_code == 404
    said = client.post("/v1/vector_stores/birds/files", json={"file_id": file_id})
    assert said.json()["error"]["code"] == "file_not_found"
    assert client.delete(f"/v1/files/{file_id}").status_code == 200


def test_a_collection_that_is_removed_lets_go_of_its_files(client: TestClient) -> None:
    """The file stays, and can be deleted."""
    file_id = uploaded(client, "heron.md", NOTE)
    attached(client, file_id)
    assert client.delete("/v1/vector_stores/birds").status_code == 200
    assert client.get(f"/v1/files/{file_id}").status_code == 200
    assert client.post("/v1/vector_stores", json={"name": "birds"}).json()["file_counts"]["total"] == 0
    assert client.delete(f"/v1/files/{file_id}").status_code == 200
