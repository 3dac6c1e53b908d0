"""A move of the pointer that is late changes nothing, whatever it was paused at; the leases are of two hosts.

Their file locks are not seen by the other host: whoever takes over removes them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from tests.builders import DIMENSION, written
from tests.fakes import MemoryStore
from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import CollectionBusy
from winnow.retrieval.files.folder_contents import contents_of
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.files.lease import OneHostLease
from winnow.retrieval.generation import cleanup
from winnow.retrieval.generation.cleanup import RETIRED_SECONDS, clean
from winnow.retrieval.generation.history import fold, roll_back
from winnow.retrieval.generation.listing import left_over
from winnow.retrieval.generation.open import check_generation
from winnow.retrieval.generation.pointer import Rollback, current_name, moving, names, rolled_back
from winnow.retrieval.generation.publish import publish
from winnow.retrieval.store.lance_store import LanceStore

IDENTITY = EmbedderIdentity(name="hash", revision="r1", dimension=DIMENSION)


class HostLease(OneHostLease):
    """Counts moves like the row on PostgreSQL, and may pause after each call."""

    expires = True  # type: ignore[misc]

    def __init__(self, moves: list[int], *, at: int = 0, pause: Callable[[], object] = lambda: None) -> None:
        self._moves = moves
        self._left = at
        self._pause = pause

    def begin_move(self) -> int:
        self._moves.append(len(self._moves) + 1)
        token = self._moves[-1]
        self._called()
        return token

    def require_move(self, token: int) -> None:
        if token != self._moves[-1]:
            raise CollectionBusy("another host")
        self._called()

    def _called(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._pause()


class UnfencedLease(HostLease):
    """The control: checks, but removes no temporary file of an earlier move."""

    expires = False  # type: ignore[misc]


def lose_locks(folder: CollectionFolder) -> None:
    for lock in (folder.fold_lock, folder.pointer_lock):
        lock.unlink(missing_ok=True)


def taken_over(folder: CollectionFolder, store: MemoryStore, moves: list[int], kind: type[HostLease]) -> None:
    """What the other host does: publish, and roll back from that."""
    lose_locks(folder)
    lease = kind(moves)
    publish(folder, store.snapshot(), IDENTITY, lease=lease)
    publish(folder, store.snapshot(), IDENTITY, lease=lease)
    roll_back(folder, IDENTITY, lease=lease)


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("move", ["publish", "roll back"])
def test_a_move_that_is_late_is_refused(folder: CollectionFolder, store: MemoryStore, move: str, at: int) -> None:
    """Paused before its check, and between the check and the rename."""
    moves: list[int] = []
    for _ in range(2):
        publish(folder, store.snapshot(), IDENTITY, lease=HostLease(moves))
    late = HostLease(moves, at=at, pause=lambda: taken_over(folder, store, moves, HostLease))
    run = {
        "publish": lambda: publish(folder, store.snapshot(), IDENTITY, lease=late),
        "roll back": lambda: roll_back(folder, IDENTITY, lease=late),
    }[move]
    with pytest.raises(CollectionBusy):
        run()
    chosen = current_name(folder)
    assert chosen in {"g000003", "g000004"}
    assert rolled_back(folder) == Rollback(newest=f"g{int(chosen[1:]) + 1:06d}", to=chosen)
    assert not list(folder.path.glob("*.tmp"))
    publish(folder, store.snapshot(), IDENTITY, lease=HostLease(moves))
    assert rolled_back(folder) is None


def test_a_first_publication_that_is_late_does_not_take_the_pointer_back(
    folder: CollectionFolder, store: MemoryStore
) -> None:
    moves: list[int] = []
    late = HostLease(moves, at=2, pause=lambda: taken_over(folder, store, moves, HostLease))
    with pytest.raises(CollectionBusy):
        publish(folder, store.snapshot(), IDENTITY, lease=late)
    assert current_name(folder) == "g000001"


@pytest.mark.parametrize(
    ("paused_after", "expected"),
    [(names, nullcontext()), (check_generation, pytest.raises(CollectionBusy))],
)
def test_a_late_clean_up_meets_what_another_host_has_removed(
    folder: CollectionFolder,
    store: MemoryStore,
    paused_after: Callable[..., object],
    expected: AbstractContextManager[object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Paused after it has listed the generations, and after it has checked one of them."""
    moves: list[int] = []
    for _ in range(3):
        publish(folder, store.snapshot(), IDENTITY, lease=HostLease(moves))
    later = time.time() + RETIRED_SECONDS + 60

    def paused(folder: CollectionFolder, *arguments: str, **options: bool) -> object:
        found = paused_after(folder, *arguments, **options)
        monkeypatch.undo()
        lose_locks(folder)
        removed = clean(folder, kept=1, now=later, lease=HostLease(moves)).removed
        assert removed == ("generations/g000002", "generations/g000001")
        return found

    monkeypatch.setattr(cleanup, paused_after.__name__, paused)
    with expected:
        assert clean(folder, kept=1, now=later, lease=HostLease(moves)).removed == ()
    assert names(folder) == ["g000003"]


def test_without_the_fence_a_late_move_wins(folder: CollectionFolder, store: MemoryStore) -> None:
    """The control: both use one temporary file, or that of the late move stays."""
    moves: list[int] = []
    publish(folder, store.snapshot(), IDENTITY, lease=UnfencedLease(moves))

    def take_over() -> None:
        lose_locks(folder)
        with moving(folder, UnfencedLease(moves)) as move:
            move.point("g000009")

    with moving(folder, UnfencedLease(moves, at=2, pause=take_over)) as move:
        move.point("g000008")
    assert current_name(folder) == "g000008"


def test_a_late_clean_up_removes_nothing_more(folder: CollectionFolder, store: MemoryStore) -> None:
    moves: list[int] = []
    for _ in range(3):
        publish(folder, store.snapshot(), IDENTITY, lease=HostLease(moves))
    before = sorted(path.name for path in folder.generations.iterdir())

    def take_over() -> None:
        lose_locks(folder)
        roll_back(folder, IDENTITY, to="g000001", lease=HostLease(moves))

    later = 2 * RETIRED_SECONDS + max(path.stat().st_mtime for path in folder.generations.iterdir())
    assert clean(folder, now=later, lease=HostLease(moves, at=1, pause=take_over)).removed == ()
    assert sorted(path.name for path in folder.generations.iterdir()) == before


def test_a_killed_move_leaves_only_a_temporary_file(folder: CollectionFolder, store: MemoryStore) -> None:
    """Which is no content, is listed as a leftover, and goes with the next move."""
    moves: list[int] = []
    publish(folder, store.snapshot(), IDENTITY, lease=HostLease(moves))
    contents = contents_of(folder)
    left = folder.path / "current.7.tmp"
    left.write_bytes(b"g0")
    assert contents_of(folder) == contents
    assert left_over(folder) == [left]
    with moving(folder, HostLease(moves)):
        assert not left.exists()
    assert current_name(folder) == "g000001"


def test_an_older_version_is_not_published_over_a_newer_one(tmp_path: Path) -> None:
    """Its writer paused before it began to build."""
    folder = CollectionFolder(tmp_path / "c")
    store = LanceStore.create(folder.corpus, dimension=DIMENSION)
    store.replace([written("a", "first")])
    old = store.snapshot()
    store.replace([written("b", "second")])
    newest = fold(folder, store.snapshot(), IDENTITY)
    with pytest.raises(CollectionBusy, match="newer index"):
        fold(folder, old, IDENTITY)
    assert current_name(folder) == newest.name


def test_a_late_clean_up_that_finds_its_work_done_is_refused(folder: CollectionFolder, store: MemoryStore) -> None:
    moves: list[int] = []
    for _ in range(3):
        publish(folder, store.snapshot(), IDENTITY, lease=HostLease(moves))
    later = 2 * RETIRED_SECONDS + max(path.stat().st_mtime for path in folder.generations.iterdir())

    def take_over() -> None:
        lose_locks(folder)
        assert clean(folder, now=later, lease=HostLease(moves)).removed == ("generations/g000001",)

    with pytest.raises(CollectionBusy):
        clean(folder, now=later, lease=HostLease(moves, at=2, pause=take_over))
    assert current_name(folder) == "g000003"
