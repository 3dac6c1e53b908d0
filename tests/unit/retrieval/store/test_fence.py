"""After a fence the store refuses what an earlier writer still sends, and a late fence takes nothing back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builders import DIMENSION, written
from winnow.retrieval.errors import WriterSuperseded
from winnow.retrieval.files.lease import OneHostLease
from winnow.retrieval.store.fence import fence_successor, newest_version, publish_fence
from winnow.retrieval.store.lance_store import LanceStore


class PausingLease(OneHostLease):
    """Calls `pause` after the renewal of this number, before the commit that it is for."""

    def __init__(self, at: int, pause: Callable[[], object]) -> None:
        self._left = at
        self._pause = pause

    def renew(self, *, newest: int = 0) -> bool:
        self._left -= 1
        if self._left == 0:
            self._pause()
        return False


@pytest.fixture
def path(tmp_path: Path) -> Path:
    store = LanceStore.create(tmp_path / "corpus.lance", dimension=DIMENSION)
    store.replace([written("a", "first"), written("b", "second")])
    return tmp_path / "corpus.lance"


def opened(path: Path, lease: OneHostLease | None = None) -> LanceStore:
    return LanceStore.open(path, dimension=DIMENSION, lease=lease or OneHostLease())


def fenced(path: Path) -> bool:
    return publish_fence(path, opened(path).snapshot().version)


def texts(path: Path) -> dict[str, str]:
    snapshot = opened(path).snapshot()
    return {name: snapshot.document(name).text for name in snapshot.content_hashes()}


# A write, and how many renewals it makes up to the one right before its commit.
WRITES: dict[str, tuple[int, Callable[[LanceStore], object]]] = {
    "insert": (3, lambda store: store.replace([written("late", "late")])),
    "replace": (3, lambda store: store.replace([written("a", "late")])),
    "delete": (3, lambda store: store.delete(["a"])),
    "words": (2, lambda store: store.renew_words([])),
}


def write_late(path: Path, write: str, pause: Callable[[], object]) -> None:
    """Pause between the last look at the lease and the commit."""
    at, run = WRITES[write]
    run(opened(path, PausingLease(at, pause)))


@pytest.mark.parametrize("write", WRITES)
def test_a_write_that_is_late_is_refused_after_a_fence(path: Path, write: str) -> None:
    """Its writer checked the lease before the fence, and commits after it."""

    def take_over() -> None:
        assert fenced(path)
        opened(path).replace([written("c", "by the next writer")])

    before = texts(path)
    with pytest.raises(WriterSuperseded):
        write_late(path, write, take_over)
    assert texts(path) == before | {"c": "by the next writer"}


def test_without_a_fence_a_late_write_lands_but_is_not_acknowledged(path: Path) -> None:
    """This is why there is a fence: Lance puts the late commit on top of the other writer's."""
    with pytest.raises(WriterSuperseded, match="at the same time"):
        write_late(path, "delete", lambda: opened(path).replace([written("c", "other")]))
    assert set(texts(path)) == {"b", "c"}


def test_without_a_fence_a_late_insert_comes_below_newer_numbers(path: Path) -> None:
    """An index that was built in between has seen a greater number, and takes the late chunk for one that it holds."""
    with pytest.raises(WriterSuperseded, match="at the same time"):
        write_late(path, "insert", lambda: opened(path).replace([written("c", "other")]))
    snapshot = opened(path).snapshot()
    assert snapshot.document_ids(snapshot.chunk_numbers().tolist()) == ["a", "b", "late", "c"]


def test_a_fence_that_is_late_takes_nothing_back(path: Path) -> None:
    """Lance's own `restore` would: it never conflicts, and undoes what was committed before it lands."""
    version = opened(path).snapshot().version
    late = opened(path).snapshot().dataset.checkout_version(version)
    assert fenced(path)
    opened(path).replace([written("c", "by the next writer")])
    assert not publish_fence(path, version)
    assert set(texts(path)) == {"a", "b", "c"}
    late.restore()  # type: ignore[no-untyped-call]
    assert set(texts(path)) == {"a", "b"}, "the control"


def test_a_fence_keeps_content_and_index_and_writing_goes_on(path: Path) -> None:
    store = opened(path)
    store.index_words()
    before = store.snapshot()
    assert fenced(path)
    after = store.snapshot()
    assert after.version == before.version + 1
    assert after.chunk_numbers().tolist() == before.chunk_numbers().tolist()
    assert after.lexical("second", 1).numbers.tolist() == before.lexical("second", 1).numbers.tolist()
    store.replace([written("c", "third")])
    assert set(texts(path)) == {"a", "b", "c"}
    assert not list(path.parent.glob(".fence-*"))


@pytest.mark.parametrize("commits", [0, 12])
def test_a_late_write_does_not_reach_the_store_that_took_the_place(path: Path, commits: int) -> None:
    """A restored backup may have fewer versions than what it replaces, or more."""
    restored = path.parent / "restored" / "corpus.lance"
    restored.parent.mkdir()
    store = LanceStore.create(restored, dimension=DIMENSION)
    for at in range(1 + commits):
        store.replace([written("r", f"restored {at}")])
    for at in range(6):
        opened(path).replace([written("a", f"again {at}")])

    def exchange() -> None:
        fence_successor(restored, above=newest_version(path))
        shutil.move(path, path.parent / "replaced")
        shutil.move(restored, path)

    with pytest.raises(WriterSuperseded):
        write_late(path, "insert", exchange)
    assert texts(path) == {"r": f"restored {commits}"}
    opened(path).replace([written("c", "goes on")])
    assert set(texts(path)) == {"r", "c"}
