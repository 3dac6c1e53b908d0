"""Generations in a bucket: one host builds, the others fetch, and what they fetch is what was built."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.builders import DIMENSION, written
from tests.s3_server import BUCKET, serving
from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import CollectionBusy, GenerationCorrupt
from winnow.retrieval.files.durable import make_folder
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.files.lease import ONE_HOST
from winnow.retrieval.files.s3_access import BucketRoot
from winnow.retrieval.generation.history import fold, roll_back
from winnow.retrieval.generation.manifest import Manifest
from winnow.retrieval.generation.open import open_newest
from winnow.retrieval.generation.pointer import current_name
from winnow.retrieval.generation.shared import SharedGenerations, fetch_newest
from winnow.retrieval.store.lance_store import LanceStore
from winnow.retrieval.store.places.bucket import Bucket

IDENTITY = EmbedderIdentity(name="test", revision="r", dimension=DIMENSION)
MADE_AT = datetime(2026, 1, 1, tzinfo=UTC)


class Overtaken(SharedGenerations):
    """Another host publishes first."""

    other: SharedGenerations

    def publish(self, generation: Path, manifest: Manifest) -> None:
        self.other.publish(generation, manifest)
        super().publish(generation, manifest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts:
    """Two hosts with one store, whose place does not matter here, and a bucket for its generations."""

    store: LanceStore
    bucket: Bucket
    shared: SharedGenerations
    asked: list[int]  # bytes for which room was asked
    one: CollectionFolder
    two: CollectionFolder

    def fold(self, folder: CollectionFolder, *, kept: int = 2) -> Manifest:
        snapshot = self.store.snapshot()
        return fold(folder, snapshot, IDENTITY, kept=kept, made_at=MADE_AT, shared=self.shared)

    def fetch(self, folder: CollectionFolder) -> str | None:
        fetched = fetch_newest(folder, self.shared, made_at=MADE_AT, lease=ONE_HOST)
        return None if fetched is None else fetched.name

    def objects(self) -> list[str]:
        return [each.name for each in self.bucket.listed("docs")]


@pytest.fixture(scope="module")
def s3_bucket() -> Iterator[Bucket]:
    with serving() as s3:
        yield Bucket(BucketRoot(url=f"s3://{BUCKET}/shared", access=s3.access, answer_seconds=60))


@pytest.fixture
def hosts(s3_bucket: Bucket, tmp_path: Path) -> Iterator[Hosts]:
    store = LanceStore.create(tmp_path / "corpus.lance", dimension=DIMENSION)
    store.replace([written("a", "first", pieces=2), written("b", "second")])
    folders = [CollectionFolder(tmp_path / name) for name in ("one", "two")]
    for folder in folders:
        make_folder(folder.path)
    asked: list[int] = []
    shared = SharedGenerations(s3_bucket, "docs", make_room=asked.append)
    yield Hosts(store=store, bucket=s3_bucket, shared=shared, asked=asked, one=folders[0], two=folders[1])
    s3_bucket.remove_below("docs")


def contents(folder: CollectionFolder, name: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder.generations / name).iterdir()}


def test_one_host_builds_and_the_other_fetches(hosts: Hosts) -> None:
    """The same bytes under the same name, and it serves; a fold of the same version fetches, too."""
    assert hosts.fetch(hosts.two) is None
    built = hosts.fold(hosts.one)
    assert hosts.fold(hosts.two) == built
    assert current_name(hosts.two) == built.name == "g000001"
    assert contents(hosts.two, built.name) == contents(hosts.one, built.name)
    assert hosts.asked == [sum(facts.bytes for facts in built.files.values())]
    opened = open_newest(hosts.two, IDENTITY, hosts.store)
    assert opened is not None
    assert opened.index.numbers.tolist() == [0, 1, 2]
    assert hosts.fetch(hosts.two) is None
    assert hosts.fetch(hosts.one) is None


def test_names_ascend_over_all_hosts(hosts: Hosts) -> None:
    """A host that has not fetched the newest takes it before it builds a newer one."""
    hosts.fold(hosts.one)
    hosts.store.replace([written("c", "third")])
    assert hosts.fold(hosts.two).name == "g000002"
    assert hosts.fetch(hosts.one) == "g000002"


def test_a_changed_object_is_not_served(hosts: Hosts) -> None:
    """Nothing becomes current, and nothing is left of it."""
    hosts.fold(hosts.one)
    changed = next(name for name in hosts.objects() if name.endswith("/vectors.sums"))
    content = hosts.bucket.get(changed)
    assert content is not None
    hosts.bucket.put(changed, content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(GenerationCorrupt, match=r"vectors\.sums differs"):
        hosts.fetch(hosts.two)
    assert current_name(hosts.two) is None
    assert list(hosts.two.generations.iterdir()) == []
    assert hosts.fold(hosts.two).name == "g000002"  # so that no host depends on the one that has it
    assert hosts.fetch(hosts.one) == "g000002"


def test_a_missing_object_is_built_over(hosts: Hosts) -> None:
    hosts.fold(hosts.one)
    hosts.bucket.remove([name for name in hosts.objects() if name.endswith("/numbers.i64")])
    with pytest.raises(GenerationCorrupt, match="missing in the bucket"):
        hosts.fetch(hosts.two)
    assert hosts.fold(hosts.two).name == hosts.fetch(hosts.one) == "g000002"


def test_of_two_builders_the_later_one_publishes_nothing(hosts: Hosts) -> None:
    """Its own pointer stays as well; it fetches what the other built."""
    late = Overtaken(hosts.bucket, "docs", make_room=lambda _: None)
    late.other = hosts.shared
    with pytest.raises(CollectionBusy, match="published g000001 first"):
        fold(hosts.one, hosts.store.snapshot(), IDENTITY, made_at=MADE_AT, shared=late)
    assert current_name(hosts.one) is None
    assert hosts.fetch(hosts.one) == hosts.fetch(hosts.two) == "g000001"
    assert contents(hosts.one, "g000001") == contents(hosts.two, "g000001")


def test_old_generations_and_interrupted_uploads_leave_the_bucket(hosts: Hosts) -> None:
    hosts.bucket.put("docs/generations/g000001.dead/vectors.faiss", b"of a build that was killed")
    for name in "cdef":
        hosts.store.replace([written(name, name)])
        hosts.fold(hosts.one, kept=2)
    folders = {name.split("/")[2].partition(".")[0] for name in hosts.objects()}
    assert folders == {"g000003", "g000004"}
    assert not any("dead" in name for name in hosts.objects())


def test_a_rollback_of_one_host_lasts_until_the_next_publication(hosts: Hosts) -> None:
    for name in "cd":
        hosts.store.replace([written(name, name)])
        hosts.fold(hosts.one)
    assert roll_back(hosts.one, IDENTITY) == "g000001"
    assert hosts.fetch(hosts.one) is None
    assert current_name(hosts.one) == "g000001"
    hosts.store.replace([written("e", "e")])
    hosts.fold(hosts.two)
    assert hosts.fetch(hosts.one) == "g000003"
