"""Markdown: the title and metadata of its front matter by YAML, headings by CommonMark."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from winnow.indexer.readers.front_matter import front_matter
from winnow.indexer.readers.markdown import CODE_CHARACTERS_MIN, read_markdown
from winnow.retrieval.records import PartKind
from winnow.retrieval.structure import parts_fault

TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)
FRONTS = st.dictionaries(
    TEXTS.filter(lambda key: key != "title"),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXTS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
        max_leaves=5,
    ),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize(
    ("markdown", "title"),
    [
        ("text\n\n## Second level ##\n# First", "Second level"),
        ("# Learn C#", "Learn C#"),
        ("#hashtag\n# Heading", "Heading"),
        ("Underlined\n==========\n", "Underlined"),
        ("Also underlined\n---", "Also underlined"),
        ("text\n\n---\n\n# After a rule", "After a rule"),
        ("```sh\n# a comment\n```\n# Heading", "Heading"),
        ("~~~~\n# a comment\n~~~\n# still code\n~~~~\n# Heading", "Heading"),
        ('---\ntitle: "From the front"\ndate: 2020\n---\n# Heading', "From the front"),
        ("---\ndate: 2020\n---\n# Heading", "Heading"),
        ("---\nnot closed\n# Heading", "Heading"),
        ("#   \ntext", ""),
        ("plain", ""),
        ("[link]: x\n# A [link], *emphasis* and `code` &amp; a \\* star", "A link, emphasis and code & a * star"),
        ("    # indented code\n\n# Heading", "Heading"),
        ("<!--\n# a comment\n-->\n\n# Heading", "Heading"),
        ("> # quoted\n\n- # in a list\n\n# Heading", "Heading"),
        ("Two lines\nunderlined\n===", "Two lines underlined"),
        ("# ![logo](x.png) Title", "logo Title"),
        ("- - -\n\nitem\n\n## Heading", "Heading"),
        ("---\ntitle: >-\n  folded\n  over lines\n---\ntext", "folded over lines"),
        ("---\ntitle: null\n---\n# Heading", "Heading"),
        ("---\ntitle: 'it''s: quoted'\n---\n", "it's: quoted"),
        ("---\ntitle: 2020\n---\n# Heading", "2020"),
        ("---\ntitle: [a, list]\n---\n# Heading", "Heading"),
        ("---\ntitle: Ended by dots\n...\n# Heading", "Ended by dots"),
        ("---\n- a list\n---\n\n# Heading", "Heading"),
        ("", ""),
    ],
)
def test_the_title_of_markdown(markdown: str, title: str):
    """Front matter, then the first heading outside of code."""
    assert read_markdown(markdown).title == title


@given(FRONTS, st.sampled_from([True, False]))
def test_what_yaml_writes_is_read_back(front: dict[str, object], flow: Any):
    """Every mapping that the library writes, in either style; the text begins behind it."""
    block = yaml.safe_dump(front, allow_unicode=True, default_flow_style=flow)
    found = front_matter(f"---\n{block}---\n\ntext\n---\nmore")
    assert found.problem is None
    assert (found.metadata, found.body) == (front, "text\n---\nmore")


def test_the_rest_of_the_front_matter_is_metadata():
    """Numbers and truth values are such; dates, versions, `no` and what is quoted are texts."""
    found = read_markdown(
        "---\ntitle: T\ntags: [a, b]\nyear: 2020\nprice: 0.5\ndraft: false\ndate: 2020-01-02\nversion: 1.10\n"
        'code: 007\nlanguage: no\nquoted: "12"\nnothing:\nbig: 18446744073709551616\nauthor: {name: X}\n---\ntext\n'
    )
    assert found.body == "text\n"
    assert found.metadata == {
        "tags": ["a", "b"],
        "year": 2020,
        "price": 0.5,
        "draft": False,
        "date": "2020-01-02",
        "version": "1.10",
        "code": "007",
        "language": "no",
        "quoted": "12",
        "nothing": None,
        "big": "18446744073709551616",
        "author": {"name": "X"},
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("---\ntitle: a: b\n---\ntext", "line 2: mapping values are not allowed"),
        ("---\ntitle: 'open\n---\ntext", "line "),
        ("---\na: 1\na: 2\n---\ntext", "duplicate key 'a'"),
        ("---\na: &x [1]\nb: *x\n---\ntext", "aliases are not supported"),
        ("---\na: " + "[" * 50 + "]" * 50 + "\n---\ntext", "levels deep"),
        ("---\njust a line\n---\ntext", None),
        ("---\n\n---\ntext", None),
        ("--- \ntext without an end", None),
    ],
)
def test_what_is_no_front_matter_stays_in_the_text(text: str, problem: str | None):
    """And is told where it looks like some."""
    found = front_matter(text)
    assert (found.body, found.metadata, found.title) == (text, {}, "")
    assert found.problem is None if problem is None else problem in (found.problem or "")


def test_front_matter_that_cannot_be_read_gives_no_title():
    """CommonMark would take the last line of YAML above the fence for a heading."""
    assert read_markdown("---\ntitle: Foo: bar\n---\n# Returns\n\nText").title == "Returns"
    assert read_markdown("---\ntitle: Foo: bar\n---\nText").title == ""


@given(st.text(max_size=200))
def test_any_text_is_markdown(text: str):
    """Nothing raises, what is left is what JSON can carry, and its parts cover the text."""
    for each in (text, f"---\n{text}\n---\n{text}"):
        found = read_markdown(each)
        assert each.endswith(found.body)
        json.dumps(found.metadata)
        assert parts_fault(len(found.body), found.parts) is None
        assert found.parts or not found.body.strip()


@pytest.mark.parametrize("text", ["> " * 40_000, "[" * 100_000, "- " * 50_000, "`" * 100_000, "# " + "*" * 99_000])
def test_hostile_markdown_takes_no_time(text: str):
    """Whatever is nested in it."""
    began = time.monotonic()
    read_markdown(text)
    assert time.monotonic() - began < 5


HANDBOOK = """---
title: Handbook
tags: [a]
---

# Handbook

## Buying *things*
### Returns

Within thirty days, and with the receipt.

```sh
# not a heading
winnow search
```

## Prices

They hold for a year. %s

| item | price |
|------|------:|
| bolt | 3 |
| nut \\| washer | 4 |

They change then.

Underlined
----------

> # quoted

- # in a list

  | a | b |
  |---|---|
  | 1 | 2 |

## Empty
""" % ("More words. " * 40)


def outline(markdown: str) -> list[tuple[PartKind, tuple[str, ...], str, str]]:
    """Kind, section, header, and the first line with text of each part."""
    found = read_markdown(markdown)
    return [
        (part.kind, part.section, part.header, found.body[part.start : part.end].strip().partition("\n")[0])
        for part in found.parts
    ]


def test_sections_tables_and_code_are_parts():
    """Headings in code, quotes and lists are none. The title stands in no section. Tables have their column names."""
    assert outline(HANDBOOK) == [
        (PartKind.CODE, ("Buying things", "Returns"), "", "# Handbook"),
        (PartKind.PROSE, ("Prices",), "", "## Prices"),
        (PartKind.ROWS, ("Prices",), "| item | price |", "| item | price |"),
        (PartKind.PROSE, ("Prices",), "", "They change then."),
        (PartKind.CODE, ("Underlined",), "", "Underlined"),
        (PartKind.PROSE, ("Empty",), "", "## Empty"),
    ]


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_lines_are_those_of_the_file(ends: str):
    """Also behind front matter: each part's line is where its text begins."""
    markdown = HANDBOOK.replace("\n", ends)
    lines = markdown.split(ends)
    found = read_markdown(markdown)
    for part in found.parts:
        text = found.body[part.start : part.end]
        above = len(text) - len(text.lstrip())
        assert part.location.line is not None
        line = part.location.line + text[:above].count("\n")
        assert lines[line - 1] == text[above:].partition(ends)[0]


def test_long_code_is_a_part_with_its_introduction():
    """A short text directly above stays with it; a long one is a part of its own."""
    code = "```python\n" + "call()\n" * (CODE_CHARACTERS_MIN // 7 + 1) + "```\n"
    assert outline(f"# T\n\n## A\n\nRun this:\n\n{code}\nDone.\n") == [
        (PartKind.CODE, ("A",), "", "# T"),
        (PartKind.PROSE, ("A",), "", "Done."),
    ]
    assert [kind for kind, *_ in outline(f"## A\n\n{'Words. ' * 60}\n\n{code}")] == [PartKind.PROSE, PartKind.CODE]


@pytest.mark.parametrize(
    ("markdown", "sections"),
    [
        ("text\n\n# T\na\n# U\nb\n", [(), (), ("U",)]),  # the title is the first heading, wherever it stands
        ("# T\na\n### C\nb\n## B\nc\n#### D\nd", [(), ("C",), ("B",), ("B", "D")]),
        ("---\ntitle: T\n---\n# A\na\n# T\nb\n", [("A",), ()]),
        ("---\ntitle: a: b\n---\n# A\na\n## B\nb\n", [(), (), ("B",)]),  # invalid front matter: text
        ("# \na\n## B\nb", [(), ()]),
        ("plain", [()]),
        ("", []),
        (" \n ", []),
    ],
)
def test_sections_are_the_headings_above(markdown: str, sections: list[tuple[str, ...]]):
    assert [section for _, section, _, _ in outline(markdown)] == sections


@pytest.mark.parametrize("text", ["# a\nb\n" * 300, "| a |\n|---|\n| b |\n\n" * 300, "# a\n\nb\n" * 5])
def test_a_file_of_countless_parts_is_read(monkeypatch: pytest.MonkeyPatch, text: str):
    """What is too many goes to the last part: the file is not refused. So does what is too far down."""
    monkeypatch.setattr("winnow.indexer.readers.markdown.PARTS_MAX", 100)
    monkeypatch.setattr("winnow.indexer.readers.markdown.STRUCTURE_WITHIN", 1_000)
    found = read_markdown(text)
    assert parts_fault(len(text), found.parts) is None
    assert len(found.parts) <= 100
