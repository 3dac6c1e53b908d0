"""`winnow snapshot` and `winnow restore` as a person types them, with a folder and with a bucket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import Command, command_in
from tests.s3_server import BUCKET, S3, serving
from tests.snapshots import names
from winnow.api.collections.data_folder import DataFolder

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with serving() as server:
        yield server


def found(command: Command, collection: str) -> list[tuple[str, float]]:
    done = command.run("search", "return goods", "--collection", collection, "--no-rerank", "--json")
    assert done.code == 0, done.err
    return [(each["document_id"], each["score"]) for each in done.json["results"]]


def test_a_collection_goes_to_a_bucket_and_comes_back(
    indexed: Command, s3: S3, tmp_path: Path, models: dict[str, str]
) -> None:
    """Into another data folder, with the same answers; the second time there is one already."""
    target = f"s3://{BUCKET}/backups/four"
    other = command_in(tmp_path / "data", models)
    taken = indexed.run("snapshot", target, "--collection", "four", "--json", **s3.variables)
    assert taken.code == 0, taken.err
    back = other.run("restore", target, "--collection", "again", "--json", **s3.variables)
    assert back.code == 0, back.err
    assert {**back.json, "seconds": 0, "collection": "", "generation": ""} == {
        **taken.json,
        "seconds": 0,
        "collection": "",
        "generation": "",
    }
    assert (taken.json["documents"], back.json["collection"], back.json["generation"]) == (4, "again", "g000001")
    assert found(other, "again") == found(indexed, "four")
    refused = other.run("restore", target, "--collection", "again", **s3.variables)
    assert (refused.code, "already exists: again" in refused.err) == (2, True)


def test_a_wrong_key_says_so_and_stays_secret(indexed: Command, s3: S3) -> None:
    """In one line, with the store's own word for it; no part of either key is told."""
    wrong = "wrongwrongwrongwrong0123456789"
    target = f"s3://{BUCKET}/refused"
    for words in (("snapshot", target, "--collection", "four"), ("restore", target, "--collection", "other")):
        done = indexed.run(*words, **s3.variables | {"AWS_SECRET_ACCESS_KEY": wrong})
        assert done.code == 1
        assert "SignatureDoesNotMatch" in done.err
        assert "AWS_SECRET_ACCESS_KEY" in done.err
        assert not any(secret in done.err + done.out for secret in (wrong, s3.key_id, s3.secret))


def test_a_folder_is_a_place_too_and_damage_is_named(indexed: Command, tmp_path: Path, models: dict[str, str]) -> None:
    """Exit code 1, the file's name, and nothing in the data folder."""
    place = tmp_path / "place"
    assert indexed.run("snapshot", str(place), "--collection", "four").code == 0
    assert json.loads((place / "manifest.json").read_text("utf-8"))["snapshot"]["documents"] == 4
    numbers = place / "corpus.lance" / "next_chunk_number"
    numbers.write_bytes(numbers.read_bytes() + b"\n")
    other = command_in(tmp_path / "data", models)
    done = other.run("restore", str(place), "--collection", "four")
    assert (done.code, "corpus.lance/next_chunk_number differs from what was written" in done.err) == (1, True)
    assert names(DataFolder.existing(other.data)) == []
