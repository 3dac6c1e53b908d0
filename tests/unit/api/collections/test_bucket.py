"""`--data s3://...`: what one host writes to the bucket another finds, and what cannot be done there says so."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from tests.fakes import HashEmbedder, PrefersWord
from tests.postgres import PostgresServer
from tests.s3_server import BUCKET, S3, serving
from tests.tiny_models import write_embedder
from winnow.api.assemble import Services, wire
from winnow.api.cli.main import app
from winnow.api.collections.cleaning_up import finish_unfinished
from winnow.api.collections.data_folder import DataFolder
from winnow.api.diagnostics.verify import verified
from winnow.api.http.app import create_app
from winnow.api.model_loading import LoadedEmbedder, LoadedReranker
from winnow.api.settings import Settings, load
from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.errors import CatalogMismatch, CollectionBusy, InvalidRequest, SettingInvalid
from winnow.retrieval.files.layout import bucket_folder
from winnow.retrieval.files.s3_access import BucketRoot
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.store.places.bucket import Bucket
from winnow.retrieval.tenancy import DEFAULT_TENANT

DOCUMENTS = "/v1/collections/docs/documents"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with serving() as server:
        yield server


@pytest.fixture
def root(s3: S3, tmp_path: Path) -> BucketRoot:
    return BucketRoot(url=f"s3://{BUCKET}/{tmp_path.name}", access=s3.access, answer_seconds=60)


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.new()


def services(tmp_path: Path, root: BucketRoot, url: str, host: str) -> Services:
    tokenizer = PlainTokenizer.load(write_embedder(tmp_path / f"models-{host}"))
    embedding = LoadedEmbedder(embedder=HashEmbedder(), tokenizer=tokenizer, runs_on="hash", device="cpu")
    judging = LoadedReranker(reranker=PrefersWord("a"), runs_on="words", device="cpu")
    settings = replace(Settings(), data=root, cache_dir=tmp_path / host, catalog_url=url)
    return wire(settings, embedding, judging)


@contextmanager
def client(parts: Services) -> Iterator[TestClient]:
    with TestClient(create_app(parts), base_url="http://127.0.0.1") as opened:
        yield opened


def found(client: TestClient, query: str) -> list[str]:
    body = {"query": query, "collection": "docs", "rerank": False}
    answer = client.post("/v1/search", json=body)
    answer.raise_for_status()
    return [each["document_id"] for each in answer.json()["results"]]


def collection(name: str) -> Collection:
    return Collection(
        tenant=DEFAULT_TENANT,
        name=name,
        embedder=HashEmbedder().identity,
        chunk_tokens=64,
        created_at=datetime.now(UTC),
    )


def names(bucket: Bucket) -> set[str]:
    """The collections with objects."""
    return {each.name.split("/")[2] for each in bucket.listed("collections")}


def put(client: TestClient, **texts: str) -> None:
    documents = [{"id": name, "text": text} for name, text in texts.items()]
    client.post(DOCUMENTS, json={"documents": documents}).raise_for_status()


def test_two_hosts_share_one_collection(tmp_path: Path, root: BucketRoot, url: str) -> None:
    """Each with a cache folder: both find writes and removals of either, and fetch an index that one builds."""
    with client(services(tmp_path, root, url, "one")) as one, client(services(tmp_path, root, url, "two")) as two:
        one.post("/v1/collections", json={"name": "docs"}).raise_for_status()
        put(one, a="first words", b="second words")
        assert set(found(two, "words")) == {"a", "b"}
        put(two, c="third words", a="other words")
        two.delete(f"{DOCUMENTS}/b").raise_for_status()
        assert one.get(f"{DOCUMENTS}/a").json()["text"] == "other words"
        assert one.get(f"{DOCUMENTS}/b").status_code == 404
        for host in (one, two):
            host.post("/v1/collections/docs/fold").raise_for_status()
        with client(services(tmp_path, root, url, "three")) as three:
            assert set(found(three, "words")) == {"a", "c"}
        currents = {path.read_text("ascii") for path in tmp_path.glob("*/*/collections/default/docs/current")}
        assert len(currents) == 1
        assert sum(each.name.endswith("/manifest.json") for each in Bucket(root).listed("collections")) == 1
        disk = DataFolder.existing(tmp_path / "one" / next((tmp_path / "one").iterdir()).name, url, root)
        assert [check for check in verified(disk) if check.fault] == []
        assert any(each.bytes for each in Bucket(root).listed("collections"))
        one.delete("/v1/collections/docs").raise_for_status()
        assert two.get("/v1/collections/docs").status_code == 404
        assert list(Bucket(root).listed("collections")) == []
        two.post("/v1/collections", json={"name": "docs"}).raise_for_status()
        put(two, d="new words")
        assert found(one, "words") == found(two, "words") == ["d"]


def test_what_cannot_be_done_in_a_bucket_says_so(tmp_path: Path, root: BucketRoot, url: str) -> None:
    """Uploads are refused with what to do instead; without PostgreSQL, and with another catalog, nothing opens."""
    with client(services(tmp_path, root, url, "one")) as one:
        refused = one.post("/v1/files", files={"file": ("a.txt", b"text")}, data={"purpose": "assistants"})
        assert refused.status_code == 422
        assert "write documents instead" in refused.json()["error"]["message"]
    with pytest.raises(SettingInvalid, match="PostgreSQL"):
        DataFolder.open(tmp_path / "three", None, root)


def test_interrupted_creations_and_removals_leave_nothing(tmp_path: Path, root: BucketRoot, url: str) -> None:
    """Their objects go with the next clean-up. One that was only paused fails, and nothing of it appears."""
    disk, bucket = DataFolder.open(tmp_path / "one", url, root), Bucket(root)
    kept, removed, paused = (collection(name) for name in ("kept", "removed", "paused"))
    disk.make(kept)
    disk.make(removed)
    disk.catalog.collections.begin(paused)  # as far as a creation gets before it writes objects
    bucket.put(f"{bucket_folder('default', 'paused', paused.created_at)}/corpus.lance/data", b"a")
    disk.catalog.collections.remove(DEFAULT_TENANT, "removed", folder_follows=True)  # likewise for a removal
    with disk.writing(DEFAULT_TENANT, "paused"):
        finish_unfinished(DataFolder.open(tmp_path / "two", url, root))
        assert names(bucket) == {"kept", "paused"}
    finish_unfinished(DataFolder.open(tmp_path / "two", url, root))
    assert names(bucket) == {"kept"}
    with pytest.raises(CollectionBusy, match="given up"):
        disk.catalog.collections.add(paused, must_be_begun=True)
    disk.make(collection("paused"))
    assert names(bucket) == {"kept", "paused"}
    assert disk.catalog.collections.abandoned() == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["snapshot", "DIR", "--collection", "docs"], "copy the bucket with the object store's own versioning"),
        (["restore", "DIR", "--collection", "docs"], "restore it into a data folder"),
        (["collections", "adopt", "--all"], "restore a backup of the catalog instead"),
        (["verify", "--repair"], "stop this host's services and remove its folder in WINNOW_CACHE_DIR"),
    ],
    ids=lambda words: words[0] if isinstance(words, list) else "",
)
def test_a_command_that_needs_a_folder_says_what_to_do_instead(
    words: list[str], said: str, tmp_path: Path, root: BucketRoot, url: str
) -> None:
    variables = {"WINNOW_CATALOG_URL": url, "WINNOW_CACHE_DIR": str(tmp_path / "cache")}
    keys = {"AWS_ACCESS_KEY_ID": root.access.key_id, "AWS_SECRET_ACCESS_KEY": root.access.secret}
    variables |= {name: str(value) for name, value in (keys | {"AWS_ENDPOINT_URL": root.access.endpoint}).items()}
    typed = [str(tmp_path / "snapshot") if word == "DIR" else word for word in words]
    DataFolder.open(tmp_path / "cache", url, root)
    with pytest.raises(InvalidRequest, match=re.escape(said)):
        CliRunner().invoke(app, [*typed, "--data", root.url], env=variables, catch_exceptions=False)


def test_another_catalog_is_refused(tmp_path: Path, root: BucketRoot, postgres: PostgresServer) -> None:
    """A prefix belongs to the catalog that used it first."""
    DataFolder.open(tmp_path / "one", postgres.new(), root)
    with pytest.raises(CatalogMismatch, match="does not belong"):
        DataFolder.open(tmp_path / "one", postgres.new(), root)


def test_a_silent_store_is_answered_in_time(tmp_path: Path, url: str) -> None:
    """503 with a code and Retry-After within the deadline, for searches and writes; afterwards all is as before."""
    with serving() as s3:
        root = BucketRoot(url=f"s3://{BUCKET}/silent", access=s3.access, answer_seconds=8)
        with client(services(tmp_path, root, url, "one")) as one:
            one.post("/v1/collections", json={"name": "docs"}).raise_for_status()
            put(one, a="first words")
            os.kill(s3.pid, signal.SIGSTOP)
            try:
                late = one.post(DOCUMENTS, json={"documents": [{"id": "b", "text": "late"}]})
            finally:
                os.kill(s3.pid, signal.SIGCONT)
            assert (late.status_code, late.json()["error"]["code"]) == (503, "store_unavailable")
            time.sleep(float(late.headers["retry-after"]))
            put(one, b="second words")
            assert set(found(one, "words")) == {"a", "b"}


def test_the_setting_takes_a_prefix_and_its_keys(tmp_path: Path) -> None:
    """The URL comes from --data, and keys from the variables of AWS; a bucket without a path is refused."""
    variables = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "WINNOW_CACHE_DIR": str(tmp_path)}
    settings = load({"data": "s3://bucket/some/path/"}, environment=variables)
    assert settings.bucket is not None
    assert (settings.bucket.url, settings.bucket.access.key_id) == ("s3://bucket/some/path", "id")
    assert settings.folder.parent == tmp_path
    for wrong in ("s3://bucket", "gs://bucket/path", "s3://key:secret@bucket/path"):
        with pytest.raises(SettingInvalid):
            load({"data": wrong}, environment={})
