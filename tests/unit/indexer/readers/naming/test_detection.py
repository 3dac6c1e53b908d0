"""Names that people have: the first of a list wins, case counts only where it must, flags are not overruled."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from winnow.indexer.readers.fields import Fields
from winnow.indexer.readers.naming.detection import ID_NAMES, TEXT_NAMES, decide, is_complete, sample_records

names = st.lists(st.sampled_from([*ID_NAMES, *TEXT_NAMES, "url", "title", "headline", "year"]), unique=True)


@given(names=names, capital=st.booleans())
def test_the_first_name_of_the_list_wins(*, names: list[str], capital: bool) -> None:
    """Whatever the order in the record, and in capitals as well; url is an id only where no other name is."""
    spelt = {name: name.upper() if capital else name for name in names}
    decision = decide(sample_records([dict.fromkeys(spelt.values(), "x")]), Fields())
    id_ = next((spelt[name] for name in (*ID_NAMES, "url") if name in spelt), None)
    text = next((spelt[name] for name in TEXT_NAMES if name in spelt), None)
    assert is_complete(decision, Fields()) == (id_ is not None and text is not None)
    assert dict(decision.taken).get("id") == id_
    assert dict(decision.taken).get("text") == text
    assert dict(decision.taken).get("title") == next((spelt[n] for n in ("title", "headline") if n in spelt), None)
    assert dict(decision.taken).get("url") == spelt.get("url")
    assert {*decision.others} == {*spelt.values()} - {name for _, name in decision.taken} - {spelt.get("year")}


def test_a_spelling_that_may_mean_two_fields_is_not_taken() -> None:
    """`DocID` beside `DOCID` is neither; an exact name is never ambiguous."""
    two = sample_records([{"DocID": "a", "DOCID": "b", "Text": "t"}])
    assert dict(decide(two, Fields()).taken) == {"text": "Text"}
    exact = sample_records([{"ID": "a", "id": "b", "Text": "t"}])
    assert dict(decide(exact, Fields()).taken) == {"id": "id", "text": "Text"}


def test_a_name_without_usable_values_is_passed_over() -> None:
    """An `_id` that is an object, and a `text` in one of ten records, are not what the corpus means."""
    records = [{"_id": {"$oid": "1"}, "id": number, "contents": "c"} for number in range(10)]
    records[0]["text"] = "t"
    decision = decide(sample_records(records), Fields())
    assert decision.taken == (("id", "id"), ("text", "contents"))
    assert decision.others == ("_id", "text")


def test_flags_are_not_overruled() -> None:
    """What a flag names for one use is not taken for another."""
    decision = decide(sample_records([{"id": "a", "content": "c", "body": "b"}]), Fields(title="content"))
    assert dict(decision.taken) == {"id": "id", "text": "body", "title": "content"}
