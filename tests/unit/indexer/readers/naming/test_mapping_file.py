"""The mapping file: every key, and a reason for what is none."""

from __future__ import annotations

import pytest

from winnow.indexer.id_source import IdSource
from winnow.indexer.readers.fields import Fields, MetadataChoice
from winnow.indexer.readers.naming.mapping_file import parse_mapping
from winnow.retrieval.errors import InvalidRequest


def test_every_key_is_read() -> None:
    """One field, or several; metadata is kept, dropped and renamed."""
    assert parse_mapping({}) == Fields()
    assert parse_mapping(
        {
            "id": "docid",
            "text": ["abstract", "body"],
            "title": "headline",
            "url": "link",
            "id_from": "hash",
            "metadata": {"keep": ["year", "lang"], "drop": "raw", "rename": {"yr": "year"}},
        }
    ) == Fields(
        id="docid",
        text=("abstract", "body"),
        title="headline",
        url="link",
        id_from=IdSource.HASH,
        metadata=MetadataChoice(keep=frozenset({"year", "lang"}), drop=frozenset({"raw"}), rename={"yr": "year"}),
    )


@pytest.mark.parametrize(
    ("node", "said"),
    [
        ([], "must be a mapping"),
        ({"body": "x"}, "unknown key 'body'; known are id, text"),
        ({"id": 1}, "id must be the name of a field"),
        ({"text": ["a", "a"]}, "a list of different names"),
        ({"text": [1]}, "a list of different names"),
        ({"id_from": "thin air"}, "id_from must be line or hash"),
        ({"metadata": "x"}, "metadata must be a mapping"),
        ({"metadata": {"only": []}}, "unknown key 'only'"),
        ({"metadata": {"rename": {"a": "x", "b": "x"}}}, "a name of its own"),
        ({"metadata": {"rename": {"a": None}}}, "a name of its own"),
    ],
)
def test_what_is_no_mapping_is_refused(node: object, said: str) -> None:
    """With what would be one."""
    with pytest.raises(InvalidRequest, match=said):
        parse_mapping(node)
