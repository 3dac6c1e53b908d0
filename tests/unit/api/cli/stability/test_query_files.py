"""Queries of golden sets and their paraphrases, as files have them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from winnow.api.cli.stability.query_files import read_paraphrases, read_query_file
from winnow.retrieval.catalog.stability import GoldenQuery
from winnow.retrieval.errors import CorpusUnreadable, InvalidRequest

ODD = "退货\u2028second\x85 line\x0b"  # characters at which `str.splitlines` would split


def written(folder: Path, name: str, *records: object) -> Path:
    file = folder / name
    lines = [each if isinstance(each, str) else json.dumps(each, ensure_ascii=False) for each in records]
    file.write_bytes("\r\n".join([*lines, ""]).encode())
    return file


def test_queries_are_read_whatever_characters_they_have(tmp_path: Path) -> None:
    """One per line of a text file, or one object per line; only a line feed ends a line."""
    judged = {"query": ODD, "judgments": {"a": 2}}
    assert read_query_file(written(tmp_path, "q.jsonl", judged, "", {"_id": "1", "text": ODD})) == [
        judged,
        {"query": ODD},
    ]
    assert read_query_file(written(tmp_path, "q.txt", "how long", "什么时候")) == [
        {"query": "how long"},
        {"query": "什么时候"},
    ]


def test_paraphrases_are_read_by_query(tmp_path: Path) -> None:
    """Those of other queries are left out; several lines of one query add up."""
    lines = [{"query": ODD, "paraphrases": [ODD + "?"]}, {"query": "else", "paraphrases": ["x"]}]
    file = written(tmp_path, "p.jsonl", *lines, {"query": ODD, "paraphrases": ["other"]})
    assert read_paraphrases(file, [GoldenQuery(query=ODD)]) == {ODD: [ODD + "?", "other"]}
    with pytest.raises(InvalidRequest, match="none of the golden set's queries"):
        read_paraphrases(file, [GoldenQuery(query="unknown")])


@pytest.mark.parametrize("line", ["{", "[]", '{"queries": "a"}', '{"query": "a", "grades": {}}'])
def test_a_wrong_line_is_named(tmp_path: Path, line: str) -> None:
    """By the file's name and the line's number."""
    with pytest.raises(InvalidRequest, match=r"q\.jsonl, line 2: "):
        read_query_file(written(tmp_path, "q.jsonl", {"query": "a"}, line))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Because it is not there, or no text."""
    with pytest.raises(CorpusUnreadable, match=r"q\.txt: No such file"):
        read_query_file(tmp_path / "q.txt")
    (tmp_path / "q.txt").write_bytes(b"\xff")
    with pytest.raises(CorpusUnreadable, match=r"q\.txt is not UTF-8"):
        read_query_file(tmp_path / "q.txt")
