"""A bucket whose server is stopped, or becomes silent in the middle of a write: each call of a store ends in time.

Nothing is acknowledged then, and afterwards the store goes on with what it had. A folder has no such state: its system
calls return or fail.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from tests.builders import DIMENSION, written
from tests.faults.fence.wire import held_on_the_wire
from tests.s3_server import BUCKET, S3, serving
from winnow.retrieval.concurrency.silence import ASK_SECONDS, Silence
from winnow.retrieval.errors import StoreUnavailable, WinnowError
from winnow.retrieval.files.s3_access import BucketRoot, S3Access
from winnow.retrieval.store.lance_store import LanceStore
from winnow.retrieval.store.places.bucket import Bucket
from winnow.retrieval.store.places.bucket_place import TRIES_MAX, BucketPlace

ANSWER_SECONDS: Final = 2.0
DEADLINE_SECONDS: Final = TRIES_MAX * ANSWER_SECONDS + 1.0
AGAIN_SECONDS: Final = 10.0  # after the server goes on: a store is not asked again for a moment after a failure
GRACE_SECONDS: Final = 12.0  # on a machine with much else to do; without a limit a call never returns
TEXTS: Final = {"a": "first words", "b": "second words"}

CALLS: Final[dict[str, Callable[[LanceStore], object]]] = {
    "newest version": lambda store: store.snapshot().counts(),
    "texts": lambda store: store.snapshot().chunks([0, 1]),
    "vectors": lambda store: [batch.numbers.tolist() for batch in store.snapshot().vectors()],
    "hashes": lambda store: store.snapshot().content_hashes(),
    "files": lambda store: store.require_usable(),
    "superseded": lambda store: store.has_superseded(),
    "replace": lambda store: store.replace([written("late", "late")]),
    "delete": lambda store: store.delete(["a"]),
    "index of words": lambda store: store.index_words(),
    "words from all texts": lambda store: store.renew_words([]),
    "word rules": lambda store: store.renew_word_rules(),
    "clean-up": lambda store: store.clean_up(),
    "old versions": lambda store: store.remove_old_versions(),
}
AFTER: Final[dict[str, dict[str, str]]] = {  # what the write leaves if its last request has arrived
    "replace": TEXTS | {"late": "late"},
    "delete": {"b": TEXTS["b"]},
}


@pytest.fixture
def s3() -> Iterator[S3]:
    with serving() as server:
        yield server


def store_at(access: S3Access, tmp_path: Path, name: str) -> LanceStore:
    """Open or create the store of this name."""
    folder = name.replace(" ", "-")
    place = BucketPlace(bucket_at(access), f"{folder}/corpus.lance", collection=name, local=tmp_path / folder)
    return LanceStore.create_at(place, dimension=DIMENSION)


def bucket_at(access: S3Access) -> Bucket:
    return Bucket(BucketRoot(url=f"s3://{BUCKET}/stopped", access=access, answer_seconds=ANSWER_SECONDS))


def texts(store: LanceStore) -> dict[str, str]:
    snapshot = store.snapshot()
    return {name: snapshot.document(name).text for name in snapshot.content_hashes()}


def texts_again(store: LanceStore) -> dict[str, str]:
    """The texts, once the store answers again."""
    until = time.monotonic() + AGAIN_SECONDS
    while True:
        try:
            return texts(store)
        except StoreUnavailable:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def outcome(call: Callable[[LanceStore], object], store: LanceStore) -> tuple[str, float]:
    """Return the error's name, or "", and the seconds it took."""
    began = time.monotonic()
    try:
        call(store)
    except WinnowError as error:
        return type(error).__name__, time.monotonic() - began
    return "", time.monotonic() - began


def test_each_call_to_a_stopped_store_fails_within_its_deadline(s3: S3, tmp_path: Path) -> None:
    for name in CALLS:
        store_at(s3.access, tmp_path, name).replace([written(*each) for each in TEXTS.items()])
    stores = {name: store_at(s3.access, tmp_path, name) for name in CALLS}  # which have read nothing yet
    os.kill(s3.pid, signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(len(CALLS)) as threads:
            made = {name: threads.submit(outcome, call, stores[name]) for name, call in CALLS.items()}
            found = {name: each.result() for name, each in made.items()}
    finally:
        os.kill(s3.pid, signal.SIGCONT)
    assert {name: said for name, (said, _) in found.items() if said != "StoreUnavailable"} == {}
    assert max(seconds for _, seconds in found.values()) < DEADLINE_SECONDS + GRACE_SECONDS
    for name, store in stores.items():
        assert texts_again(store) == TEXTS, name
    stores["replace"].replace([written("c", "goes on")])
    assert texts(stores["replace"]) == TEXTS | {"c": "goes on"}


def test_calls_for_small_objects_ask_a_silent_store_in_turn_as_well(s3: S3, tmp_path: Path) -> None:
    """They fail at once while another call asks; the one that asks is answered, and then all others may ask."""
    bucket, now = bucket_at(s3.access), [0.0]
    bucket.silence = Silence(slow_seconds=1.0, clock=lambda: now[0])
    bucket.put("there", b"content")
    bucket.silence.unanswered("no reply", seconds=1.0)
    (tmp_path / "file").write_bytes(b"content")
    for call in (
        lambda: bucket.get("there"),
        lambda: bucket.put("there", b"other"),
        lambda: bucket.put_new("new", b"content"),
        lambda: bucket.upload("new", tmp_path / "file"),
        lambda: bucket.download("there", tmp_path / "file"),
        lambda: list(bucket.listed("")),
        lambda: bucket.remove(["there"]),
    ):
        with pytest.raises(StoreUnavailable, match="no reply"):
            call()
    now[0] += ASK_SECONDS
    assert bucket.silence.refusal(seconds=20.0) is None  # another call asks
    with pytest.raises(StoreUnavailable, match="no reply"):
        bucket.get("there")
    now[0] += 20.0
    assert [bucket.get(name) for name in ("missing", "there", "new")] == [None, b"content", None]


def test_what_such_a_call_is_told_is_told_to_all(s3: S3) -> None:
    """A server that is stopped has not answered; one that refuses has."""
    bucket, now = bucket_at(s3.access), [0.0]
    bucket.silence = Silence(slow_seconds=0.0, clock=lambda: now[0])
    os.kill(s3.pid, signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailable, match="there cannot be read"):
            bucket.get("there")
    finally:
        os.kill(s3.pid, signal.SIGCONT)
    with pytest.raises(StoreUnavailable, match="timeout"):
        bucket.get("there")
    now[0] += ASK_SECONDS
    refused = bucket_at(replace(s3.access, secret="wrong"))  # noqa: S106  not the one of the server
    refused.silence = bucket.silence
    with pytest.raises(StoreUnavailable, match="there cannot be read"):
        refused.get("there")
    assert bucket.get("there") is None


def test_a_silent_store_is_asked_for_next_to_nothing(s3: S3, tmp_path: Path) -> None:
    """What it is sent while it is stopped it does later, in vain and in front of what is then waited for."""
    bucket, now, called = bucket_at(s3.access), [0.0], list[str]()
    bucket.silence = Silence(slow_seconds=0.0, clock=lambda: now[0])
    bucket.silence.unanswered("no reply", seconds=1.0)
    now[0] += ASK_SECONDS
    place = BucketPlace(bucket, "asked", collection="asked", local=tmp_path)
    os.kill(s3.pid, signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailable, match="the bucket cannot be reached"):
            place.read(lambda: called.append("while it was stopped"))
    finally:
        os.kill(s3.pid, signal.SIGCONT)
    now[0] += ASK_SECONDS
    place.read(lambda: called.append("then"))
    assert called == ["then"]


@pytest.mark.parametrize("name", AFTER)
def test_a_write_whose_store_falls_silent_fails_within_its_deadline(s3: S3, tmp_path: Path, name: str) -> None:
    """At its first request that changes something, and at its last, which publishes: that one may have arrived."""
    with held_on_the_wire(s3.url) as wire:
        through = replace(s3.access, endpoint=wire.url)

        def tried(collection: str, at: int) -> tuple[str, float]:
            store_at(s3.access, tmp_path, collection).replace([written(*each) for each in TEXTS.items()])
            store = store_at(through, tmp_path, collection)
            wire.hold(at, is_silent=True)
            return outcome(CALLS[name], store)

        assert tried("undisturbed", 0)[0] == ""
        last = wire.passed
        assert last > 1
        for at in (1, last):
            said, seconds = tried(f"silent-{at}", at)
            assert wire.is_held.is_set()
            wire.let_go()
            assert said == "StoreUnavailable", wire.held
            assert seconds < DEADLINE_SECONDS + GRACE_SECONDS, wire.held
            store = store_at(s3.access, tmp_path, f"silent-{at}")
            store.replace([written("next", "goes on")])
            assert texts(store) in [{**each, "next": "goes on"} for each in (TEXTS, AFTER[name])]
