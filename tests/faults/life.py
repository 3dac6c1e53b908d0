"""Does a collection always answer what a dictionary would? Any order of everything that can happen to it.

    python -m tests.faults.life --steps 20000 --seed 1

One process writes: upserts, deletes, publications, rollbacks, clean-ups, openings anew. Two others read, with views
that live as long as they like. After every step both are asked, and the answer has to be that of an exact index over
the dictionary: documents, ordinals, texts and similarities. Every other question has a filter. Hypothesis chooses the
steps, and shortens the list of those that lead to a difference.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.builders import unit_vectors
from tests.faults.scripted import DIMENSION, IDENTITY, Model, document, folder_of, write
from tests.faults.watched_syncer import WatchedSyncer
from tests.faults.worker import Worker
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.generation.cleanup import clean
from winnow.retrieval.generation.history import fold, roll_back
from winnow.retrieval.generation.pointer import current_name, names
from winnow.retrieval.index.vector_index import ExactIndex
from winnow.retrieval.records import JsonValue
from winnow.retrieval.store.lance_store import LanceStore

READERS: Final = 2
STEPS_PER_LIFE: Final = 50
TOLERANCE: Final = 1e-6  # of a similarity

FILTERS: Final[list[tuple[JsonValue, Callable[[str], bool]]]] = [
    ({"type": "eq", "key": "begins", "value": "文"}, lambda text: text[0] == "文"),
    ({"type": "gte", "key": "length", "value": 5}, lambda text: len(text) >= 5),
    (
        {
            "type": "or",
            "filters": [
                {"type": "in", "key": "begins", "value": ["x", "y"]},
                {
                    "type": "and",
                    "filters": [
                        {"type": "lt", "key": "length", "value": 3},
                        {"type": "ne", "key": "begins", "value": "z"},
                    ],
                },
            ],
        },
        lambda text: text[0] in "xy" or (len(text) < 3 and text[0] != "z"),
    ),
]  # as a caller writes them, and what they mean

document_ids = st.sampled_from([f"d{number}" for number in range(12)])
documents = st.tuples(st.text("xyz文 ", min_size=1, max_size=12), st.integers(1, 4))


class LifeOfACollection(RuleBasedStateMachine):
    """One collection from its first write on. What is disk-like here does not wait for the disk: nothing is cut off."""

    readers: ClassVar[list[Worker]] = []
    steps: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self._base = tempfile.TemporaryDirectory(prefix="winnow-life-")
        self._root = Path(self._base.name)
        self._folder: CollectionFolder = folder_of(self._root)
        self._syncer = WatchedSyncer()
        self._store = LanceStore.create(self._folder.corpus, dimension=DIMENSION, syncer=self._syncer)
        self._model: Model = {}
        self._asked = 0

    def teardown(self) -> None:
        for reader in self.readers:
            reader.ask({"forget": str(self._root)})
        self._base.cleanup()

    @initialize(batch=st.dictionaries(document_ids, documents, min_size=1, max_size=6))
    def begin(self, batch: Model) -> None:
        self._write(batch)

    @rule(batch=st.dictionaries(document_ids, documents, min_size=1, max_size=4))
    def upsert(self, batch: Model) -> None:
        self._write(batch)
        self.steps["upsert"] += 1

    @rule(gone=st.sets(document_ids, min_size=1, max_size=4))
    def delete(self, gone: set[str]) -> None:
        removed = self._store.delete(sorted(gone))
        assert removed == len(gone & set(self._model))
        self._model = {name: stored for name, stored in self._model.items() if name not in gone}
        self.steps["delete"] += 1

    @rule()
    def publish(self) -> None:
        fold(self._folder, self._store.snapshot(), IDENTITY, syncer=self._syncer)
        self.steps["publish"] += 1

    @rule(batch=st.dictionaries(document_ids, documents, min_size=1, max_size=2))
    def index(self, batch: Model) -> None:
        """As a run of `winnow index` ends."""
        self._write(batch)
        fold(self._folder, self._store.snapshot(), IDENTITY, syncer=self._syncer)
        self.steps["upsert and publish"] += 1

    @rule(which=st.integers(0, 2))
    def roll_back(self, which: int) -> None:
        """To any generation that is there, a newer one included; or to the one before, which there may not be."""
        there = names(self._folder)
        to = there[which] if which < len(there) else None
        try:
            roll_back(self._folder, IDENTITY, to=to, syncer=self._syncer)
        except InvalidRequest:
            self.steps["rollback refused"] += 1
        else:
            self.steps["rollback"] += 1
            assert current_name(self._folder) in ([to] if to else there)

    @rule()
    def clean_up(self) -> None:
        """As if everything that may go had been superseded long ago; whoever reads looks again before it reads."""
        for reader in self.readers:
            self._look(reader)
        for path in [*(self._folder.corpus / "_versions").glob("*.manifest"), *self._folder.generations.glob("g*")]:
            os.utime(path, (0, 0))
        self._store.clean_up()
        clean(self._folder)
        self.steps["clean-up"] += 1

    @rule()
    def open_anew(self) -> None:
        """The process that writes is started again."""
        self._store = LanceStore.open(self._folder.corpus, dimension=DIMENSION, syncer=self._syncer)
        self.steps["restart of the writer"] += 1

    @rule(which=st.integers(0, READERS - 1))
    def read_anew(self, which: int) -> None:
        """So is one that reads."""
        self.readers[which].ask({"forget": str(self._root)})
        self.steps["restart of a reader"] += 1

    @invariant()
    def readers_find_what_the_model_holds(self) -> None:
        for reader in self.readers:
            self._look(reader)

    def _write(self, batch: Model) -> None:
        write(self._store, batch)
        self._model |= batch

    def _look(self, reader: Worker) -> None:
        self._asked += 1
        k = (1, 3, 100)[self._asked % 3]
        where, matches = FILTERS[self._asked // 2 % 3] if self._asked % 2 else (None, lambda _: True)
        answer = reader.ask({"root": str(self._root), "seed": self._asked % 17, "k": k, "where": where})
        assert "hits" in answer, answer
        assert answer["counts"] == [len(self._model), sum(pieces for _, pieces in self._model.values())]
        assert answer["fallback_from"] is None
        expected, similarities = self._nearest(self._asked % 17, k, matches)
        assert answer["hits"] == expected
        assert np.allclose(answer["similarities"], similarities, atol=TOLERANCE)
        self.steps["searches compared"] += 1
        self.steps["of them with a filter"] += where is not None

    def _nearest(self, query_seed: int, k: int, matches: Callable[[str], bool]) -> tuple[list[list[Any]], list[float]]:
        places: list[list[Any]] = []
        vectors = [np.empty((0, DIMENSION), dtype=np.float32)]
        for name, (text, pieces) in self._model.items():
            if not matches(text):
                continue
            embedded = document(name, text, pieces)
            vectors.append(embedded.vectors)
            places += [[name, at, text[span.start : span.end]] for at, span in enumerate(embedded.spans)]
        exact = ExactIndex(np.arange(len(places)), np.concatenate(vectors))
        hits = exact.search(unit_vectors(1, dimension=DIMENSION, seed=query_seed)[0], k)
        return [places[number] for number in hits.numbers], hits.similarities.tolist()


def lived(*, steps: int, first_seed: int) -> Counter[str]:
    """Lives until so many steps were taken; raises what `hypothesis` found where one differs from its dictionary."""
    LifeOfACollection.steps = Counter()
    LifeOfACollection.readers = [Worker("tests.faults.reader") for _ in range(READERS)]
    chances = random.Random(first_seed)
    chosen = settings(
        max_examples=max(1, min(40, steps // STEPS_PER_LIFE)),
        stateful_step_count=STEPS_PER_LIFE,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    try:
        while taken(LifeOfACollection.steps) < steps:
            life = seed(chances.getrandbits(64))(type("Life", (LifeOfACollection,), {}))
            run_state_machine_as_test(life, settings=chosen)
            print(f"{taken(LifeOfACollection.steps)} steps {dict(LifeOfACollection.steps)}", flush=True)
    finally:
        for reader in LifeOfACollection.readers:
            reader.close()
    return LifeOfACollection.steps


def taken(steps: Counter[str]) -> int:
    """What happened to the collection; that it was looked at is no step."""
    return steps.total() - steps["searches compared"] - steps["of them with a filter"]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20_000, help="at least so many (20000)")
    parser.add_argument("--seed", type=int, default=1, help="of the choice of steps (1)")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    steps = lived(steps=options.steps, first_seed=options.seed)
    searches = f"{steps['searches compared']} searches, {steps['of them with a filter']} of them with a filter"
    print(f"{taken(steps)} steps, {searches}, no difference, {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
