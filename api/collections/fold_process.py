"""How is an index built without anybody who searches noticing? In a process of its own, at a low priority.

A thread would hold the interpreter's lock at the moments when searches need it, and the kernel would take the processor
from it just then. What a process of its own does wrong, or is killed for, harms no answer; its memory is given back. It
is spawned and not forked, because Lance and the model runtime have threads. When the service is gone, it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import threading
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import CollectionBusy, WinnowError
from winnow.retrieval.index.planner import ANY_INDEX, IndexWish

NICENESS: Final = 10  # the kernel gives a search about nine times as much of a processor that both want
_LOCK_SECONDS: Final = 30.0  # how long to wait for somebody who writes, where words get new rules
_KILL_SECONDS: Final = 2.0  # how long a process that was told to end may take; what it has written harms nobody


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """One build."""

    folder: Path  # of the collection
    identity: EmbedderIdentity
    made_at: datetime  # when the collection was made: another one may have taken its place before this begins
    kept: int  # generations
    seen: str | None  # the generation that was current when this was thought necessary
    wish: IndexWish = ANY_INDEX


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """What was built."""

    generation: str
    count: int  # vectors
    store_version: int


class FoldEnded(Exception):
    """The process that built it ended before it said anything."""


async def fold_beside(fold: Fold) -> Folded:
    """Raises what building raises, `CollectionBusy` where another process does it, and `FoldEnded`."""
    spawning = multiprocessing.get_context("spawn")
    receiver, sender = spawning.Pipe(duplex=False)
    process = spawning.Process(target=_work, args=(sender, fold), name=f"fold {fold.folder.name}", daemon=True)
    process.start()
    sender.close()
    said = None
    try:
        said = await asyncio.to_thread(_said, receiver)
    finally:
        await asyncio.shield(asyncio.to_thread(_end, process, has_said=said is not None))
    if said is None:
        raise FoldEnded(f"the process that built it ended with exit code {process.exitcode}")
    if isinstance(said, WinnowError):
        raise said
    return said


def _said(receiver: Connection) -> Folded | WinnowError | None:
    """None where it ended without a word."""
    with receiver:
        try:
            said: Folded | WinnowError = receiver.recv()
        except EOFError:
            return None
        return said


def _end(process: BaseProcess, *, has_said: bool) -> None:
    """It has said what it had to say, or is not wanted any more."""
    if has_said:
        process.join(_KILL_SECONDS)
    if process.exitcode is None:
        process.terminate()
        process.join(_KILL_SECONDS)
    if process.exitcode is None:
        process.kill()
        process.join()


def _work(sender: Connection, fold: Fold) -> None:
    """In the process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is the service's, which ends this one
    os.nice(NICENESS)
    threading.Thread(target=_end_with_the_service, daemon=True).start()
    with sender:
        try:
            sender.send(_built(fold))
        except WinnowError as error:
            sender.send(error)


def _end_with_the_service() -> None:
    service = multiprocessing.parent_process()
    assert service is not None, "somebody started this. This is a bug."
    wait([service.sentinel])
    os._exit(1)


def _built(fold: Fold) -> Folded:
    from winnow.retrieval.files.layout import CollectionFolder
    from winnow.retrieval.files.locks import writing
    from winnow.retrieval.generation.history import fold as published
    from winnow.retrieval.generation.pointer import current_name
    from winnow.retrieval.store.lance_store import LanceStore

    folder = CollectionFolder(fold.folder)
    if current_name(folder) != fold.seen:
        raise CollectionBusy(f"{fold.folder.name} has just been folded")
    store = LanceStore.open(folder.corpus, dimension=fold.identity.dimension)
    with contextlib.suppress(CollectionBusy):  # somebody writes for long: an index run, which does it at its end
        store.renew_word_rules(partial(writing, folder, wait_seconds=_LOCK_SECONDS))
    with store.holding():
        manifest = published(
            folder, store.snapshot(), fold.identity, wish=fold.wish, kept=fold.kept, made_at=fold.made_at
        )
    return Folded(generation=manifest.name, count=manifest.count, store_version=manifest.store_version)
