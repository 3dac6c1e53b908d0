"""A silent object store: the first call waits for it, and the others need not, however many there are."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.builders import DIMENSION, written
from tests.s3_server import BUCKET, serving
from winnow.retrieval.concurrency.silence import ASK_SECONDS, Silence
from winnow.retrieval.errors import StoreUnavailable
from winnow.retrieval.files.s3_access import BucketRoot
from winnow.retrieval.store.lance_store import LanceStore
from winnow.retrieval.store.places.bucket import Bucket
from winnow.retrieval.store.places.bucket_place import BucketPlace

ANSWER_SECONDS = 4.0
READERS = 6


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_while_a_store_is_silent_one_call_asks_now_and_then() -> None:
    clock = Clock()
    silence = Silence(slow_seconds=5.0, clock=clock)
    assert [silence.refusal(seconds=20.0) for _ in range(3)] == [None] * 3, "nobody knows it yet"
    silence.unanswered("refused", seconds=0.1)
    assert silence.refusal(seconds=20.0) is None, "a quick failure keeps nobody"
    silence.unanswered("no answer", seconds=20.0)
    assert silence.refusal(seconds=20.0) == "no answer"
    clock.now += ASK_SECONDS
    assert [silence.refusal(seconds=20.0) for _ in range(3)] == [None, "no answer", "no answer"]
    clock.now += 19.0
    assert silence.refusal(seconds=20.0) == "no answer", "it still asks"
    silence.unanswered("refused", seconds=0.1)
    assert silence.refusal(seconds=20.0) == "refused"
    clock.now += ASK_SECONDS
    assert silence.refusal(seconds=20.0) is None
    silence.answered()
    assert [silence.refusal(seconds=20.0) for _ in range(3)] == [None] * 3


def test_a_call_that_never_reports_does_not_silence_a_store_for_good() -> None:
    clock = Clock()
    silence = Silence(slow_seconds=5.0, clock=clock)
    silence.unanswered("no answer", seconds=20.0)
    clock.now += ASK_SECONDS
    assert silence.refusal(seconds=20.0) is None
    clock.now += 20.0
    assert silence.refusal(seconds=20.0) is None


def test_readers_of_a_silent_store_do_not_wait_one_after_the_other(tmp_path: Path) -> None:
    with serving() as s3:
        root = BucketRoot(url=f"s3://{BUCKET}/silent", access=s3.access, answer_seconds=ANSWER_SECONDS)
        place = BucketPlace(Bucket(root), "corpus.lance", collection="docs", local=tmp_path / "locks")
        store = LanceStore.create_at(place, dimension=DIMENSION)
        store.replace([written("a", "some text")])
        took: list[float] = []

        def read() -> None:
            began = time.monotonic()
            with pytest.raises(StoreUnavailable):
                store.snapshot()
            took.append(time.monotonic() - began)

        os.kill(s3.pid, signal.SIGSTOP)
        try:
            threads = [threading.Thread(target=read) for _ in range(READERS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            os.kill(s3.pid, signal.SIGCONT)
        assert len(took) == READERS
        assert max(took) < ANSWER_SECONDS * READERS / 2, "one after the other they would take READERS times as long"
        end = time.monotonic() + 60
        while True:
            try:
                assert list(store.snapshot().content_hashes()) == ["a"]
                break
            except StoreUnavailable:
                assert time.monotonic() < end
                time.sleep(0.2)
