"""What is told of a data folder's files: each byte once, and a damaged collection hides no other."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from tests.answers import CheckingClient
from tests.fakes import HashEmbedder, PrefersWord
from winnow.api.assemble import Services, wire
from winnow.api.collections.disk_use import measure_collection, measure_folder
from winnow.api.http.app import create_app
from winnow.api.model_loading import LoadedEmbedder, LoadedReranker
from winnow.api.settings import Settings
from winnow.retrieval.model.tokenizer import PlainTokenizer

DOCUMENTS = 12
FLOAT32_BYTES = 4
PADDING_MAX = 64  # bytes in a file


def services(data: Path, tokenizer: PlainTokenizer) -> Services:
    embedding = LoadedEmbedder(embedder=HashEmbedder(), tokenizer=tokenizer, runs_on="hash", device="cpu")
    judging = LoadedReranker(reranker=PrefersWord("a"), runs_on="words", device="cpu")
    return wire(Settings(data=data, fold_chunks=1), embedding, judging)


def bytes_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def test_every_byte_is_in_one_part(tmp_path: Path, tokenizer: PlainTokenizer) -> None:
    parts = services(tmp_path, tokenizer)
    documents = [{"id": str(place), "text": f"text {place}"} for place in range(DOCUMENTS)]
    with CheckingClient(create_app(parts), base_url="http://localhost") as client:
        for name in ("one", "two"):
            assert client.post("/v1/collections", json={"name": name}).status_code == 201
            assert client.post(f"/v1/collections/{name}/documents", json={"documents": documents}).status_code == 200
        said = client.get("/v1/collections/one").json()["disk_bytes"]
        listed = client.get("/v1/collections").json()["collections"]
    vectors = DOCUMENTS * parts.embedding.embedder.identity.dimension * FLOAT32_BYTES
    assert 0 <= said["vectors"] - vectors <= PADDING_MAX
    assert [each["disk_bytes"] for each in listed] == [None, None]
    (tmp_path / "stray").write_bytes(b"12345")
    folder = asdict(measure_folder(parts.disk))
    assert 0 <= folder["vectors"] - 2 * vectors <= 2 * PADDING_MAX
    assert folder["catalog"] >= (tmp_path / "catalog.sqlite").stat().st_size
    assert folder["other"] >= 5
    assert sum(folder.values()) == bytes_in(tmp_path)
    one = parts.disk.catalog.collections.of_tenant("default")[0]
    measured = measure_collection(parts.disk, one)
    assert measured is not None
    assert sum(asdict(measured).values()) == bytes_in(tmp_path / "collections" / "default" / "one")


def test_what_cannot_be_read_is_still_counted(tmp_path: Path, tokenizer: PlainTokenizer) -> None:
    parts = services(tmp_path, tokenizer)
    for name in ("broken", "whole"):
        parts.ingest.make(parts.disk.catalog.tenants.tenants()[0].name, name)
    corpus = tmp_path / "collections" / "default" / "broken" / "corpus.lance"
    for manifest in corpus.glob("_versions/*.manifest"):
        manifest.write_bytes(b"")
    broken, whole = parts.disk.collections()
    assert measure_collection(parts.disk, broken) is None
    assert measure_collection(parts.disk, whole) is not None
    folder = asdict(measure_folder(parts.disk))
    assert folder["other"] >= bytes_in(corpus)
    assert sum(folder.values()) == bytes_in(tmp_path)
