"""Compares what is stored after a late writer with what must be there.

stale     something that a superseded writer sent is there
lost      something that was acknowledged is not there, or cannot be read
doubled   a chunk is there twice, or a chunk number was given twice
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tests.faults.scripted import Model
from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.store.lance_store import LanceStore


class Kind(StrEnum):
    """What went wrong."""

    STALE = "stale"
    LOST = "lost"
    DOUBLED = "doubled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong."""

    kind: Kind
    said: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.said}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenOver:
    """What another writer found, and what must be there after it took over."""

    found: Model | None  # right after its fence; None: there was no collection
    documents: Model
    generation: str  # that it published
    left: Collection | None = None  # the catalog's row, on paths that change whole collections


def contents(store: LanceStore) -> Model:
    """The documents, each with its text and how many chunks are stored for it; one that is there twice counts twice."""
    snapshot = store.snapshot()
    chunks = Counter(snapshot.document_ids(snapshot.chunk_numbers().tolist()))
    return {name: (snapshot.document(name).text, count) for name, count in chunks.items()}


def repeated_numbers(store: LanceStore) -> Iterator[Fault]:
    numbers = Counter(store.snapshot().chunk_numbers().tolist())
    if repeated := [number for number, count in numbers.items() if count > 1]:
        yield Fault(kind=Kind.DOUBLED, said=f"chunk numbers {repeated} are there twice")


def compared(found: Model, expected: Model, *, late: Model) -> Iterator[Fault]:
    """Compare with what must be there. `late`: what the superseded writer would have left."""
    for name in sorted({*found, *expected}):
        here, meant = found.get(name), expected.get(name)
        if here == meant:
            continue
        said = f"{name} is {here} instead of {meant}"
        if here and meant and here[0] == meant[0] and here[1] > meant[1]:
            yield Fault(kind=Kind.DOUBLED, said=said)
        elif here == late.get(name) or meant is None:
            yield Fault(kind=Kind.STALE, said=said)
        else:
            yield Fault(kind=Kind.LOST, said=said)


def faults_at_take_over(found: Model, before: Model, after: Model, *, is_acknowledged: bool) -> Sequence[Fault]:
    """Compare what the second writer found: all of the first one's write, or nothing if that was not acknowledged."""
    if found == after or (found == before and not is_acknowledged):
        return ()
    return [*compared(found, after, late={})] or [Fault(kind=Kind.LOST, said="the acknowledged write is not there")]
