"""What was deleted is gone from every answer at once, and from every file after two clean-ups four minutes apart."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.tenants.service import Service, serving
from winnow.retrieval.generation.cleanup import clean

TEXT, TITLE, VALUE = "zqtext{}q", "zqtitle{}q", "zqvalue{}q"
AN_HOUR = 3_600.0


def files_with(folder: Path, word: str) -> list[str]:
    """Below it, by name, whatever they are: catalog, journals and indexes included."""
    wanted = word.encode()
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and wanted in path.read_bytes()
    )


def later(folder: Path) -> None:
    """As if everything that lies there had been written an hour before."""
    for path in folder.rglob("*"):
        found = path.stat()
        os.utime(path, (found.st_atime, found.st_mtime - AN_HOUR))


def cleaned(service: Service, data: Path) -> None:
    """`winnow generations clean`, an hour later."""
    later(data)
    disk = service.parts.disk
    for collection in disk.collections():
        clean(disk.layout.collection(collection.tenant, collection.name))
        disk.store(collection).clean_up()


def document(number: int) -> dict[str, Any]:
    return {
        "id": f"d{number}", "text": f"{TEXT.format(number)} waits for a train", "title": TITLE.format(number),
        "metadata": {"value": VALUE.format(number), "line": "a"},
    }  # fmt: skip


def words(number: int) -> list[str]:
    return [each.format(number) for each in (TEXT, TITLE, VALUE)]


@pytest.mark.parametrize(
    "gone", [[7], list(range(10)), [3, 12, 19], list(range(20))], ids=["one", "batch", "few", "all"]
)
def test_a_deleted_document_leaves_no_byte(tmp_path: Path, gone: list[int]) -> None:
    """One of many, all of one write, some of several, everything: texts, titles, attributes, and words of the index."""
    data = tmp_path / "data"
    with serving(tmp_path, fold_chunks=0) as service:
        ask, key, one = service.ask, service.operator, "/v1/collections/docs"
        ask(key, "POST", "/v1/collections", {"name": "docs"})
        for start in (0, 10):
            sent = {"documents": [document(number) for number in range(start, start + 10)]}
            assert ask(key, "POST", f"{one}/documents", sent).status_code == 200
        service.parts.disk.store(service.parts.disk.collections()[0]).index_words()
        assert ask(key, "POST", f"{one}/fold").status_code == 200
        assert files_with(data, TEXT.format(7))
        for number in gone:
            assert ask(key, "DELETE", f"{one}/documents/d{number}").status_code == 200
        searched = {"collection": "docs", "recall": "hybrid", "candidates": 50, "top_k": 50}
        for number in gone:
            said = ask(key, "POST", "/v1/search", {"query": TEXT.format(number), **searched})
            assert not any(f"{word}" in said.text for word in words(number))
        cleaned(service, data)  # copies what stays away from what goes
        cleaned(service, data)  # and removes the version that still had it
        left = {word: found for number in gone for word in words(number) if (found := files_with(data, word))}
        assert left == {}
        service.restart()
        kept = [number for number in range(20) if number not in gone]
        answer = ask(key, "POST", "/v1/search", {"query": "waits for a train", **searched})
        assert answer.status_code == 200, answer.text
        said = answer.json()
        assert sorted(each["document_id"] for each in said["results"]) == sorted(f"d{number}" for number in kept)


def test_a_removed_collection_leaves_no_byte(tmp_path: Path) -> None:
    """At once: its folder goes with it."""
    data = tmp_path / "data"
    with serving(tmp_path, fold_chunks=0) as service:
        ask, key = service.ask, service.operator
        ask(key, "POST", "/v1/collections", {"name": "docs"})
        ask(key, "POST", "/v1/collections/docs/documents", {"documents": [document(number) for number in range(5)]})
        assert files_with(data, TEXT.format(3))
        assert ask(key, "DELETE", "/v1/collections/docs").status_code == 200
        assert [files_with(data, word) for word in words(3)] == [[], [], []]
