"""What every StoreSnapshot promises of its search by words, over every implementation, beside a plain BM25."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bm25_oracle import bm25
from tests.builders import DIMENSION, embedded
from tests.fakes import MemoryStore
from tests.faults.watched_syncer import WatchedSyncer
from winnow.retrieval.records import Document
from winnow.retrieval.store.contract import LexicalHits, Store
from winnow.retrieval.store.lance_store import LanceStore

WORDS = ("bravo", "delta", "kilo", "lima", "tango", "quebec", "zulu", "oscar")


def lance_store(path: Path) -> LanceStore:
    return LanceStore.create(path, dimension=DIMENSION, syncer=WatchedSyncer())


@pytest.fixture(params=["memory", "lance"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else lance_store(tmp_path / "corpus.lance")


def put(store: Store, **texts: str) -> None:
    """`name="title|text"`"""
    store.replace(
        [
            embedded(Document(id=name, title=both.rpartition("|")[0], text=both.rpartition("|")[2]))
            for name, both in texts.items()
        ]
    )


def require_oracle(store: Store, query: str, *, k: int = 1_000, allowed: Sequence[int] | None = None) -> LexicalHits:
    """The hits, which have to be BM25's of what is live: the same chunks, the same scores, ties by number."""
    snapshot = store.snapshot()
    live = {chunk.number: chunk for chunk in snapshot.chunks(snapshot.chunk_numbers().tolist())}
    expected = bm25(query, live)
    if allowed is not None:
        expected = {number: score for number, score in expected.items() if number in allowed}
    hits = snapshot.lexical(query, k, allowed=None if allowed is None else np.array(allowed, dtype=np.int64))
    best = sorted(expected.values(), reverse=True)[:k]
    np.testing.assert_allclose(hits.scores, best, rtol=1e-4)
    np.testing.assert_allclose(hits.scores, [expected[int(number)] for number in hits.numbers], rtol=1e-4)
    assert len(set(hits.numbers.tolist())) == len(hits.numbers)
    places = list(zip((-hits.scores).tolist(), hits.numbers.tolist(), strict=True))
    assert places == sorted(places)
    return hits


def found(store: Store, query: str) -> list[str]:
    snapshot = store.snapshot()
    return [chunk.document_id for chunk in snapshot.chunks(snapshot.lexical(query, 10).numbers.tolist())]


def test_scores_are_those_of_bm25_over_title_and_text(store: Store) -> None:
    """As one field: a word of the title counts as one of the text; rare words count more, long texts less."""
    put(store, a="bravo|delta kilo", b="delta delta lima", c="zulu|quebec", d="kilo|bravo tango oscar zulu lima delta")
    for query in ("delta", "bravo kilo", "zulu quebec tango", "delta delta lima", "nothing", ""):
        require_oracle(store, query)
        store.index_words()
        require_oracle(store, query)


def test_a_write_is_found_before_it_is_indexed_and_what_is_gone_never(store: Store) -> None:
    """Whether the old ones are in the index, the new ones, both or none."""
    put(store, a="bravo delta", b="bravo kilo")
    assert sorted(found(store, "bravo")) == ["a", "b"]
    store.index_words()
    put(store, c="bravo lima", a="tango")
    assert sorted(found(store, "bravo")) == ["b", "c"]
    assert found(store, "lima") == ["c"]
    store.delete(["b"])
    assert found(store, "bravo kilo") == ["c"]
    store.index_words()
    assert found(store, "bravo kilo") == ["c"]
    store.delete(["a", "c"])
    assert found(store, "bravo tango lima") == []


def test_a_snapshot_searches_the_words_of_its_own_version(store: Store) -> None:
    """Whatever is written, removed or indexed meanwhile."""
    put(store, a="bravo delta")
    before = store.snapshot()
    put(store, a="kilo", b="bravo")
    store.index_words()
    assert [chunk.document_id for chunk in before.chunks(before.lexical("bravo", 5).numbers.tolist())] == ["a"]
    assert before.lexical("kilo", 5).numbers.tolist() == []


def test_allowed_chunks_answer_whatever_their_attributes_are(store: Store) -> None:
    """Each kind of attribute has a column of its own, and Lance reads the whole schema for a filter."""
    metadata = {"tags": ["law", "tax"], "year": 2020, "share": 0.5, "open": True, "lang": "en"}
    store.replace([embedded(Document(id=name, text="bravo delta", metadata=metadata)) for name in "abc"])
    assert require_oracle(store, "bravo", allowed=[0, 2]).numbers.tolist() == [0, 2]


def test_only_allowed_chunks_answer_and_as_many_as_there_are(store: Store) -> None:
    """However far behind the others they stand."""
    put(store, **{f"d{place}": "bravo " * (1 + place % 7) + "delta" for place in range(120)})
    store.index_words()
    put(store, **{f"e{place}": "bravo kilo" for place in range(60)})
    numbers = store.snapshot().chunk_numbers().tolist()
    for allowed in (numbers[::50], numbers[:7], numbers[-3:], [10_000], []):
        require_oracle(store, "bravo", k=5, allowed=allowed)


@pytest.mark.parametrize("k", [0, 1, 3, 39, 40, 41])
def test_equal_scores_come_in_order_of_number_wherever_the_list_ends(store: Store, k: int) -> None:
    """A cut through equals keeps the first of them."""
    put(store, **{f"d{place}": "bravo delta" for place in range(40)})
    assert store.snapshot().lexical("bravo", k).numbers.tolist() == list(range(min(k, 40)))


@pytest.mark.parametrize(
    "said",
    [
        '"bravo',
        '"bravo" OR',
        "bravo AND NOT",
        "bravo*",
        "bravo~2",
        "title:bravo",
        "+bravo -",
        "(bravo",
        "bravo^9",
        "[bravo TO",
        "\\bravo\\",
        "\x00\x01bravo\x7f",
        "bravo\u202e\u200b",
        "{bravo}",
        "bravo || ;--",
        "' bravo ''",
        "\ud800bravo \udfff",
    ],
)
def test_a_query_is_plain_text(store: Store, said: str) -> None:
    """Nothing in it is an operator: it finds what its one word finds, and nothing else."""
    put(store, a="bravo delta", b="kilo lima", c="lima tango")
    store.index_words()
    assert found(store, said) == ["a"]


@pytest.mark.parametrize("said", ["", " ", "\n\t", "。，！？", '"*~^:([{', "\ud800", "-" * 1_000])
def test_a_query_without_words_finds_nothing(store: Store, said: str) -> None:
    """It is no error: who searches by meaning as well still gets an answer."""
    put(store, a="bravo delta")
    assert found(store, said) == []


def test_a_query_of_a_megabyte_is_answered(store: Store) -> None:
    """Of one word, and of many that are not there."""
    put(store, a="bravo delta", b="kilo")
    assert found(store, "x" * 1_000_000) == []
    assert found(store, "bravo " * 160_000) == ["a"]


def test_words_of_both_languages_are_found(tmp_path: Path) -> None:
    """English in another inflection and within a name of code, Chinese without spaces."""
    store = lance_store(tmp_path / "corpus.lance")
    put(
        store,
        en="Returning a parcel",
        zh="退货之后如何申请退款",
        code="def set_value(self, key): pass",
        other="天气很好",
    )
    store.index_words()
    assert found(store, "returned parcels") == ["en"]
    assert found(store, "申请退款的办法") == ["zh"]
    assert found(store, "value") == ["code"]


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("put"), st.integers(0, 9), st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join)
        ),
        st.tuples(st.just("index"), st.just(0), st.just("")),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=25, deadline=None)
@given(steps=STEPS, query=st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join), k=st.integers(1, 12))
def test_segments_and_unindexed_rows_are_scored_as_one(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, str]], query: str, k: int
) -> None:
    """Documents that come one by one, with the index brought up to date anywhere in between: BM25 of all of them."""
    store = lance_store(tmp_path_factory.mktemp("words") / "corpus.lance")
    for place, (what, number, text) in enumerate(steps):
        if what == "index":
            store.index_words()
        else:
            put(store, **{f"d{place}": f"{WORDS[number % 8]}|{text}" if number % 2 else text})
    require_oracle(store, query, k=k)
