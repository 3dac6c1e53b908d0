"""TREC topics have an id and a title; the rest of a topic is not the query."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from winnow.indexer.readers.query_file import read_query_file
from winnow.retrieval.errors import CorpusUnreadable

OLD = """<top>
<num> Number: 301
<title> International   Organized &amp; Crime

<desc> Description:
Identify organizations.
</top>

<top>
<num> Number: 302
<title> Topic: 法律
援助
<narr> Narrative: x
</top>
"""
XML = "<topics>\n<top><num>q-1</num><title>one</title></top>\n<TOP><NUM>q-2</NUM><TITLE>two</TITLE></TOP></topics>\n"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (OLD, {"301": "International Organized & Crime", "302": "法律 援助"}),
        (XML, {"q-1": "one", "q-2": "two"}),
        (OLD.replace("</top>", ""), {"301": "International Organized & Crime", "302": "法律 援助"}),
    ],
)
@pytest.mark.parametrize("name", ["topics.301-302", "topics.txt.gz"])
def test_titles_are_queries(tmp_path: Path, name: str, content: str, found: dict[str, str]) -> None:
    file = tmp_path / name
    file.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    assert read_query_file(file) == found


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ("<top><num>1</num></top>", "topic 1 has no <num> or no <title>"),
        ("<top><num>1<title>a</top><top><title>b</top>", "topic 2 has no <num> or no <title>"),
        ("<top><num>1<title>a</top><top><num>1<title>b</top>", "the id '1' is there twice"),
        ("a one\n", r"is named \.jsonl or \.tsv"),
        ("", "or holds TREC topics"),
    ],
)
def test_what_is_no_topic_is_refused(tmp_path: Path, content: str, wrong: str) -> None:
    (tmp_path / "topics").write_text(content, encoding="utf-8")
    with pytest.raises(CorpusUnreadable, match=wrong):
        read_query_file(tmp_path / "topics")
