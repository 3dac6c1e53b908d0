"""What filters find, over every store: the same as a plain reading of the rules, and nothing that was not asked for."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.builders import DIMENSION, embedded
from tests.fakes import MemoryStore
from tests.faults.watched_syncer import WatchedSyncer, state_of
from tests.filter_oracle import matches
from winnow.retrieval.backup.integrity import faults
from winnow.retrieval.errors import InvalidRequest, WriteFailed
from winnow.retrieval.filters.grammar import Filter, parse_filter
from winnow.retrieval.limits import ATTRIBUTE_COLUMNS_MAX
from winnow.retrieval.records import Document, Metadata
from winnow.retrieval.store.contract import Store, StoreSnapshot
from winnow.retrieval.store.lance_store import SMALL_FRAGMENTS_MAX, LanceStore
from winnow.retrieval.store.rows import schema_of

EDGES = [0, -1, 2020, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)]
NUMBERS = st.one_of(
    st.sampled_from([*EDGES, 0.5, -0.0, 2020.0, 2020.5, 1e300, -1e300, 2.0**63, -(2.0**63), 5e-324]),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-3, 3),
)
TEXTS = st.one_of(
    st.sampled_from(["", "a", "b", "2020", "true", "民法", "😀", "a' OR 1=1 --", "\x00"]), st.text(max_size=4)
)
SCALARS = st.one_of(st.booleans(), NUMBERS, TEXTS)
CARRIED = st.sampled_from([None, {"a": 1}, [], [1, 2], ["a", None], ["a", 1], [["a"]], 2**63, float("nan"), "x" * 513])
VALUES = st.one_of(SCALARS, SCALARS, st.lists(TEXTS, min_size=1, max_size=3), CARRIED)
KEYS = st.sampled_from(["k", "K", "a.b", "键"])
DOCUMENTS = st.lists(st.dictionaries(KEYS, VALUES, max_size=4), min_size=1, max_size=6)


def comparisons(keys: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    single = st.sampled_from(["eq", "ne"]).flatmap(lambda op: _comparison(op, keys, st.one_of(SCALARS, st.none())))
    ordered = st.sampled_from(["gt", "gte", "lt", "lte"]).flatmap(
        lambda op: _comparison(op, keys, st.one_of(NUMBERS, TEXTS))
    )
    listed = st.sampled_from(["in", "nin"]).flatmap(lambda op: _comparison(op, keys, st.lists(SCALARS, max_size=4)))
    return st.one_of(single, ordered, listed)


def _comparison(op: str, keys: st.SearchStrategy[str], values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({"type": st.just(op), "key": keys, "value": values})


FILTERS = st.recursive(
    comparisons(KEYS),
    lambda below: st.fixed_dictionaries(
        {"type": st.sampled_from(["and", "or"]), "filters": st.lists(below, min_size=1, max_size=3)}
    ),
    max_leaves=5,
)


@pytest.fixture(params=["memory", "lance"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else lance_store(tmp_path)


def lance_store(base: Path) -> LanceStore:
    return LanceStore.create(base / "corpus.lance", dimension=DIMENSION, syncer=WatchedSyncer())


def document(name: str, metadata: Metadata) -> Document:
    return Document(id=name, text=f"text of {name}", metadata=metadata)


def fill(store: Store, **metadata: Metadata) -> StoreSnapshot:
    store.replace([embedded(document(name, each), pieces=2) for name, each in metadata.items()])
    return store.snapshot()


def where(kind: str, key: str, value: Any) -> Filter:
    return parse_filter({"type": kind, "key": key, "value": value})


def found(store: Store, kind: str, key: str, value: Any) -> str:
    """The ids of the documents that match, as one word."""
    return "".join(store.snapshot().documents_where(where(kind, key, value)))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=DOCUMENTS, second=DOCUMENTS, filters=st.lists(FILTERS, min_size=1, max_size=12), data=st.data())
def test_a_store_finds_what_the_rules_say(
    tmp_path_factory: pytest.TempPathFactory, first: Any, second: Any, filters: Any, data: st.DataObject
) -> None:
    """Any documents, in two commits, some of them replaced or deleted; any filters; the numbers are equal."""
    lances, memory = lance_store(tmp_path_factory.mktemp("c")), MemoryStore()
    gone = data.draw(st.lists(st.integers(0, 5), max_size=3))
    for store in (lances, memory):
        store.replace([embedded(document(f"d{at}", each), pieces=1 + at % 2) for at, each in enumerate(first)])
        store.replace([embedded(document(f"d{at + 3}", each)) for at, each in enumerate(second)])
        store.delete([f"d{at}" for at in gone])
    assert lances.snapshot().attributes() == memory.snapshot().attributes()
    for each in filters:
        assert outcome(lances, each) == outcome(memory, each)


def outcome(store: Store, written: Any) -> tuple[list[int], list[str]] | str:
    snapshot, parsed = store.snapshot(), parse_filter(written)
    try:
        return snapshot.numbers_where(parsed).tolist(), snapshot.documents_where(parsed)
    except InvalidRequest:
        return "refused"


def test_every_chunk_of_a_matching_document_is_found(store: Store) -> None:
    """An attribute belongs to the document; numbers ascend, and are 64-bit integers also where there are none."""
    snapshot = fill(store, a={"year": 2019}, b={"year": 2020}, c={"year": 2021})
    assert snapshot.numbers_where(where("gte", "year", 2020)).tolist() == [2, 3, 4, 5]
    none = snapshot.numbers_where(where("gt", "year", 3000))
    assert (none.tolist(), none.dtype) == ([], np.int64)


def test_absent_and_null_match_ne_nin_and_eq_null_only(store: Store) -> None:
    """`ne` and `nin` are the opposites of `eq` and `in`; carried values are as good as absent."""
    fill(store, a={"k": "x"}, b={}, c={"k": None}, d={"k": {"deep": "x"}}, e={"k": "y"})
    assert found(store, "eq", "k", "x") == "a"
    assert found(store, "ne", "k", "x") == "bcde"
    assert found(store, "nin", "k", ["x", "y"]) == "bcd"
    assert found(store, "eq", "k", None) == "bcd"
    assert found(store, "ne", "k", None) == "ae"
    assert found(store, "lte", "k", "~") == "ae"
    assert (found(store, "in", "k", []), found(store, "nin", "k", [])) == ("", "abcde")


def test_a_key_may_have_several_kinds_and_each_finds_its_own(store: Store) -> None:
    """The year 2020 and the text "2020" are two values; which was written first makes no difference."""
    fill(store, a={"year": "2020"}, b={"year": 2020}, c={"year": 2020.0}, d={"year": True}, e={"year": ["2020"]})
    assert store.snapshot().attributes() == {"year": "boolean or list of texts or number or text"}
    assert found(store, "eq", "year", 2020) == "bc"
    assert found(store, "eq", "year", "2020") == "ae"
    assert found(store, "eq", "year", True) == "d"
    assert found(store, "gte", "year", 1) == "bc"
    assert found(store, "in", "year", [2020, True]) == "bcd"
    assert found(store, "ne", "year", 2020) == "ade"


def test_whole_numbers_of_64_bits_are_told_apart(store: Store) -> None:
    """Where a float would make them one: the ids that other services give are such numbers."""
    fill(store, a={"id": 2**53}, b={"id": 2**53 + 1}, c={"id": 0.5}, d={"id": 2**63 - 1}, e={"id": 2.0**63})
    assert found(store, "eq", "id", 2**53 + 1) == "b"
    assert found(store, "gt", "id", 2**53) == "bde"
    assert found(store, "lt", "id", 2.0**53) == "c"
    assert found(store, "gt", "id", 2**63 - 1) == "e"
    assert found(store, "lte", "id", 2**63 - 1) == "abcd"
    assert found(store, "gte", "id", 0.5) == "abcde"
    assert (found(store, "gt", "id", 1e300), found(store, "lt", "id", 1e300)) == ("", "abcde")


def test_a_list_of_texts_is_asked_what_it_holds(store: Store) -> None:
    """`eq` and `in` find a text in it, `ne` and `nin` the lists without it."""
    fill(store, a={"tags": ["law", "tax"]}, b={"tags": ["tax"]}, c={"tags": []}, d={})
    assert found(store, "eq", "tags", "law") == "a"
    assert found(store, "in", "tags", ["law", "tax"]) == "ab"
    assert found(store, "ne", "tags", "law") == "bcd"
    with pytest.raises(InvalidRequest, match="'tags' is a list of texts"):
        found(store, "gt", "tags", "law")


def test_texts_are_ordered_by_code_point(store: Store) -> None:
    """So that dates as ISO 8601 writes them compare as dates."""
    fill(store, a={"on": "2024-01-31"}, b={"on": "2024-02-01"}, c={"on": "2024-12-01"}, d={"on": "民"}, e={"on": "😀"})
    assert found(store, "lt", "on", "2024-12") == "ab"
    assert found(store, "gt", "on", "民") == "e"


@pytest.mark.parametrize(
    ("kind", "key", "value", "said"),
    [
        (
            "eq",
            "yaer",
            2020,
            "has no attribute 'yaer'; its attributes are 'lang' (text), 'tags' (list of texts), 'year' (number)",
        ),
        ("eq", "Year", 2020, "has no attribute 'Year'"),
        ("eq", "year", "2020", "the attribute 'year' is a number and cannot be compared with the text '2020'"),
        ("in", "year", [2020, "2021"], "the attribute 'year' is a number and cannot be compared with the text '2021'"),
        ("gt", "lang", 3, "the attribute 'lang' is a text and cannot be compared with the number 3"),
        ("ne", "lang", False, "the attribute 'lang' is a text and cannot be compared with false"),
        ("eq", "nested", None, "has no attribute 'nested'"),
        ("lte", "tags", "law", "the attribute 'tags' is a list of texts without order; lte does not apply"),
    ],
)
def test_what_cannot_be_compared_is_refused_by_name(tmp_path: Path, kind: str, key: str, value: Any, said: str) -> None:
    """A misspelt key under `ne` would otherwise match everything."""
    snapshot = fill(lance_store(tmp_path), a={"year": 2020, "lang": "zh", "nested": {"a": 1}, "tags": ["law"]})
    with pytest.raises(InvalidRequest) as refused:
        snapshot.numbers_where(where(kind, key, value))
    assert said in refused.value.message


def test_an_attribute_stays_known_when_its_last_document_is_gone(store: Store) -> None:
    """An application's filters do not begin to fail because a collection ran empty of something."""
    fill(store, a={"year": 2020}, b={"lang": "zh"})
    store.delete(["a"])
    assert (found(store, "eq", "year", 2020), found(store, "ne", "year", 2020)) == ("", "b")


def test_keys_that_mean_something_elsewhere_are_keys(store: Store) -> None:
    """No key reaches another column, another case or another level."""
    names = ["number", "vector", "attribute_text_61", "a.b", "a", "A", 'q"`', "键", "' OR 1=1 --"]
    fill(store, **{f"d{at}": {name: at} for at, name in enumerate(names)})
    for at, name in enumerate(names):
        assert found(store, "eq", name, at) == f"d{at}"


def test_beyond_the_most_columns_documents_are_carried(tmp_path: Path) -> None:
    """What is known stays filterable, and an attribute too many is refused with the reason."""
    store = lance_store(tmp_path)
    fill(store, a={f"k{at:03}": at for at in range(ATTRIBUTE_COLUMNS_MAX)})
    snapshot = fill(store, b={"k000": 5, "one more": 1})
    assert snapshot.documents_where(where("eq", "k000", 5)) == ["b"]
    assert snapshot.document("b").metadata == {"k000": 5, "one more": 1}
    with pytest.raises(InvalidRequest, match=r"'one more'.* and 246 more; it has reached the limit of 256 attributes"):
        snapshot.numbers_where(where("eq", "one more", 1))


def test_columns_are_on_the_disk_before_the_write_that_needs_them(tmp_path: Path) -> None:
    """A power cut leaves an empty column at worst, and no row that names a column which is not there."""
    syncer = WatchedSyncer()
    store = LanceStore.create(tmp_path / "corpus.lance", dimension=DIMENSION, syncer=syncer)
    fill(store, a={"year": 2020})
    versions = [path for path in syncer.synced if path.parent.name == "_versions"]
    data = next(at for at, path in enumerate(syncer.synced) if path.parent.name == "data")
    assert syncer.synced.index(versions[1]) < data
    for path in (tmp_path / "corpus.lance").rglob("*"):
        if path.name not in {"next_chunk_number", "latest_version_hint.json", "SHA256SUMS", "held"}:
            assert syncer.state_when_synced[path] == state_of(path), path


def test_a_disk_that_dies_while_columns_are_added_loses_nothing(tmp_path: Path) -> None:
    """At any sync of a write that brings new attributes: all of it is there or nothing, and filters see it so."""
    watched = WatchedSyncer()
    for fail_at in itertools.count():
        base = tmp_path / str(fail_at)
        fill(lance_store(base), a={"year": 2020})
        path = base / "corpus.lance"
        if fail_at == 0:
            fill(LanceStore.open(path, dimension=DIMENSION, syncer=watched), a={"year": 1, "lang": "zh", "tags": ["x"]})
            continue
        if fail_at > len(watched.synced):
            break
        failing = LanceStore.open(path, dimension=DIMENSION, syncer=WatchedSyncer(fail_at=fail_at - 1))
        with pytest.raises(WriteFailed):
            fill(failing, a={"year": 1, "lang": "zh", "tags": ["x"]})
        store = LanceStore.open(path, dimension=DIMENSION, syncer=WatchedSyncer())
        assert store.snapshot().misfiled() == []
        assert found(store, "eq", "year", store.snapshot().document("a").metadata["year"]) == "a"
        fill(store, b={"lang": "en", "tags": ["y"]})
        assert (found(store, "eq", "lang", "en"), found(store, "ne", "tags", "y")) == ("b", "a")


def test_small_commits_with_ever_new_attributes_are_joined_rightly(tmp_path: Path) -> None:
    """Fragments of different columns become one, and nothing is lost or moved."""
    store, metadata = lance_store(tmp_path), {}
    for turn in range(SMALL_FRAGMENTS_MAX + 4):
        metadata[f"d{turn}"] = {"turn": turn, f"only{turn % 5}": str(turn), "tags": ["t", str(turn % 3)]}
        fill(store, **{f"d{turn}": metadata[f"d{turn}"]})
        if turn == 9:
            store.delete(["d3"])
            del metadata["d3"]
    assert len(store.snapshot().dataset.get_fragments()) <= SMALL_FRAGMENTS_MAX + 1
    for opened in (store, LanceStore.open(tmp_path / "corpus.lance", dimension=DIMENSION, syncer=WatchedSyncer())):
        for asked in (where("lt", "turn", 7), where("ne", "only2", None), where("eq", "tags", "1")):
            expected = [name for name, each in metadata.items() if matches(asked, each)]
            assert opened.snapshot().documents_where(asked) == expected


def test_a_document_that_filters_see_wrongly_is_named(tmp_path: Path) -> None:
    """What goes wrong in a column of attributes changes no text, and is found all the same."""
    store = lance_store(tmp_path)
    fill(store, a={"year": 2020, "tags": ["x"]}, b={"year": 2021}, c={})
    assert store.snapshot().misfiled() == []
    dataset = lance.dataset(str(tmp_path / "corpus.lance"))
    dataset.drop_columns(["attribute_integer_79656172"])
    dataset.add_columns({"attribute_integer_79656172": "cast(2020 as bigint)"})
    damaged = LanceStore.open(tmp_path / "corpus.lance", dimension=DIMENSION, syncer=WatchedSyncer()).snapshot()
    assert damaged.misfiled() == ["b", "c"]
    assert "document 'b' has attributes that differ from its metadata" in list(faults(damaged))


def of_the_format_before(path: Path, metadata: dict[str, Metadata]) -> None:
    """A store as it was written when there were no attributes."""
    store = LanceStore.create(path, dimension=DIMENSION, syncer=WatchedSyncer())
    store.replace([embedded(document(name, {}), pieces=2) for name in metadata])
    table = store.snapshot().dataset.to_table(columns=schema_of(DIMENSION).names)
    written = [json.dumps(metadata[name]) for name in table["document_id"].to_pylist()]
    at = table.schema.get_field_index("metadata")
    table = table.set_column(at, table.schema.field(at), pa.array(written, pa.large_string()))
    table = table.replace_schema_metadata({b"winnow.format": b"1"})
    lance.write_dataset(table, str(path), mode="overwrite", max_rows_per_file=3)


def test_a_store_of_the_format_before_is_filtered_at_once_and_upgraded_by_its_next_write(tmp_path: Path) -> None:
    """From the metadata until then, from columns after it; the answers are the same."""
    path = tmp_path / "corpus.lance"
    of_the_format_before(path, {"a": {"year": 2020}, "gone": {"k": 1}, "b": {"year": "old", "tags": ["x"]}, "c": {}})
    store = LanceStore.open(path, dimension=DIMENSION, syncer=WatchedSyncer())
    store.delete(["gone"])
    before = store.snapshot()
    answers = [where("eq", "year", 2020), where("ne", "tags", "x"), where("eq", "year", None)]
    expected = [before.documents_where(asked) for asked in answers]
    assert expected == [["a"], ["a", "c"], ["c"]]
    assert "attribute_integer_79656172" not in before.dataset.schema.names
    assert not before.has_attribute_columns
    fill(store, d={"lang": "zh"})
    after = store.snapshot()
    assert after.dataset.schema.metadata[b"winnow.format"] == b"2"
    assert (after.misfiled(), after.has_attribute_columns) == ([], True)
    assert after.attributes() == {"lang": "text", "tags": "list of texts", "year": "number or text"}
    assert [after.documents_where(asked) for asked in answers] == [["a"], ["a", "c", "d"], ["c", "d"]]
    assert [before.documents_where(asked) for asked in answers] == expected


def test_an_upgrade_that_was_interrupted_begins_again(tmp_path: Path) -> None:
    """Columns that were added before the format was changed are not believed: somebody else may have written since."""
    path = tmp_path / "corpus.lance"
    of_the_format_before(path, {"a": {"year": 2020}, "b": {"year": 2021}})
    lance.dataset(str(path)).add_columns({"attribute_integer_79656172": "cast(1999 as bigint)"})
    store = LanceStore.open(path, dimension=DIMENSION, syncer=WatchedSyncer())
    assert found(store, "gte", "year", 2021) == "b"
    fill(store, c={"year": 2022})
    assert found(store, "gte", "year", 2021) == "bc"
    assert found(store, "eq", "year", 1999) == ""
