"""What every place of a snapshot promises, over a folder and over a bucket of a real S3-compatible server."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.watched_syncer import WatchedSyncer
from tests.s3_server import BUCKET, S3, serving
from winnow.retrieval.backup.bucket import BucketPlace
from winnow.retrieval.backup.place import FolderPlace, Place
from winnow.retrieval.errors import SnapshotCorrupt, SnapshotNotFound, SnapshotUnreachable, WriteFailed
from winnow.retrieval.files.durable import FileFacts

CONTENTS = {"a": b"", "deep/er/b": b"some bytes", "deep/c": bytes(range(256)) * 30_000}  # more than one part


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with serving() as server:
        yield server


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        return FolderPlace(tmp_path / "place")
    s3: S3 = request.getfixturevalue("s3")
    return BucketPlace(f"s3://{BUCKET}/{tmp_path.name}/place/", s3.access)


def filled(place: Place, folder: Path) -> dict[str, FileFacts]:
    told: dict[str, FileFacts] = {}
    for name, content in CONTENTS.items():
        (folder / "source").write_bytes(content)
        told[name] = place.put(name, folder / "source", lambda _: None)
    return told


def test_files_come_back_as_they_went(place: Place, tmp_path: Path) -> None:
    """To the bit, with what was read on both ways, and every byte is told to the one who waits."""
    assert place.names() == []
    told = filled(place, tmp_path)
    assert place.names() == sorted(CONTENTS)
    for name, content in CONTENTS.items():
        advanced: list[int] = []
        assert place.get(name, tmp_path / "target", advanced.append) == told[name]
        assert (tmp_path / "target").read_bytes() == content
        assert told[name] == FileFacts(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        assert sum(advanced) == len(content)


def test_a_file_may_be_put_again_and_removed(place: Place, tmp_path: Path) -> None:
    """By whoever was interrupted: the later content is what is there."""
    filled(place, tmp_path)
    (tmp_path / "source").write_bytes(b"other")
    place.put("deep/er/b", tmp_path / "source", lambda _: None)
    place.get("deep/er/b", tmp_path / "target", lambda _: None)
    assert (tmp_path / "target").read_bytes() == b"other"
    assert place.names() == sorted(CONTENTS)
    place.remove("deep/er/b")
    assert place.names() == ["a", "deep/c"]


def test_a_file_that_is_missing_is_named(place: Place, tmp_path: Path) -> None:
    """Whatever the place says in its own words."""
    filled(place, tmp_path)
    with pytest.raises(SnapshotCorrupt, match="deep/none"):
        place.get("deep/none", tmp_path / "target", lambda _: None)


def test_a_folder_has_on_its_disk_what_was_put(tmp_path: Path) -> None:
    """Each file, and the folders that name it, before `put` returns; a dead disk is a failed write."""
    syncer = WatchedSyncer()
    filled(FolderPlace(tmp_path / "place", syncer=syncer), tmp_path)
    synced = {path.name.removesuffix(".tmp") for path in syncer.synced}
    assert {"a", "b", "c", "place", "deep", "er", tmp_path.name} <= synced
    with pytest.raises(WriteFailed):
        filled(FolderPlace(tmp_path / "other", syncer=WatchedSyncer(fail_at=2)), tmp_path)


def test_a_file_is_no_place(tmp_path: Path) -> None:
    """A snapshot has many files; a folder of that name cannot be made."""
    (tmp_path / "file").touch()
    with pytest.raises(SnapshotNotFound, match="is a file"):
        FolderPlace(tmp_path / "file").names()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"secret": "wrong-secret-0123456789"}, "SignatureDoesNotMatch"),
        ({"key_id": "WRONGKEY0123456789"}, "InvalidAccessKeyId"),
    ],
)
def test_a_wrong_key_is_a_clear_refusal(s3: S3, tmp_path: Path, changed: dict[str, str], said: str) -> None:
    """In the store's own words, with the variables to look at, and with no secret in them, whatever was asked."""
    access = replace(s3.access, **changed)
    refused = BucketPlace(f"s3://{BUCKET}/x", access)
    (tmp_path / "source").write_bytes(b"x")
    messages = []
    for ask in (
        refused.names,
        lambda: refused.put("a", tmp_path / "source", lambda _: None),
        lambda: refused.get("a", tmp_path / "target", lambda _: None),
    ):
        with pytest.raises(SnapshotUnreachable) as caught:
            ask()
        messages.append(str(caught.value))
        assert caught.value.__cause__ is None
    assert said in messages[0]
    for message in messages:
        assert "AWS_SECRET_ACCESS_KEY" in message
        assert "\n" not in message
        assert not any(secret in message for secret in access.secrets)
    assert not any(secret in repr(access) for secret in access.secrets)


def test_a_bucket_that_is_missing_and_a_server_that_is_gone_are_told(s3: S3) -> None:
    """Within seconds, not after Lance's own ten retries."""
    with pytest.raises(SnapshotUnreachable, match="NoSuchBucket"):
        BucketPlace("s3://no-such-bucket/x", s3.access).names()
    with pytest.raises(SnapshotUnreachable, match="cannot be listed"):
        BucketPlace(f"s3://{BUCKET}/x", replace(s3.access, endpoint="http://127.0.0.1:1")).names()
