"""`winnow collections` prints the same whether it asks a service or opens the data folder of that service."""

from __future__ import annotations

import pytest

from tests.unit.api.cli.client.conftest import KEY, Run
from winnow_client import Client

SAME = (
    ("list",), ("list", "--json"), ("show", "docs"), ("show", "docs", "--json"), ("show", "none"),
    ("delete", "none", "--yes"), ("set-instruction", "docs", "none"), ("set-demote-query-echo", "none", "on"),
    ("set-diversity", "docs", "--mmr-lambda", "7"), ("set-rerank-fields", "docs", "a,a"),
)  # fmt: skip
CHANGES = (
    ("set-instruction", "docs", "builtin/legal-statutes"), ("set-instruction", "docs"),
    ("set-demote-query-echo", "docs", "on"), ("set-require-instruction", "docs", "off"),
    ("set-diversity", "docs", "--collapse-shingles", "0.8", "--mmr-lambda", "0.5"), ("set-diversity", "docs"),
    ("set-rerank-fields", "docs", "title", "url", "--tokens", "32"), ("set-rerank-fields", "docs", "--tokens", "16"),
    ("set-rerank-fields", "docs"), ("set-embed-fields", "docs", "title"), ("set-reranker", "docs"),
)  # fmt: skip


@pytest.fixture(autouse=True)
def collection(url: str) -> None:
    with Client(url, key=KEY) as client:
        client.create_collection("docs")


def test_both_say_the_same(remote: Run, local: Run) -> None:
    for words in SAME:
        here, there = local("collections", *words), remote("collections", *words)
        assert (there.code, there.out) == (here.code, here.out), words
        assert there.err.rstrip("\n") == here.err.partition(". Run 'winnow")[0].rstrip("\n"), words


def test_changes_are_made_and_told_as_in_a_data_folder(remote: Run, local: Run) -> None:
    """The service first, then the same again in its data folder."""
    for place, words in enumerate(CHANGES):
        flags = ("--json",) if place % 2 else ()
        there = remote("collections", *words, *flags)
        shown = local("collections", "show", "docs", "--json").out
        assert local("collections", *words, *flags) == there, words
        assert (there.code, local("collections", "show", "docs", "--json").out) == (0, shown)


def test_a_collection_is_removed_for_good(remote: Run, local: Run) -> None:
    assert "Deleted docs." in remote("collections", "delete", "docs", "--yes").err
    assert local("collections", "list").out.splitlines()[1:] == []
