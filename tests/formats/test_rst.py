"""The facts in reStructuredText."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from docutils.parsers.rst import directives, roles
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.formats.facts import AUTHOR, COLUMNS, FACTS, ROWS, TITLE, chapters, only_part_with
from winnow.indexer.readers.markup.rst import CODE_CHARACTERS_MIN, parse
from winnow.indexer.readers.parser import SourceFile, Unparsable
from winnow.retrieval.records import Document, PartKind


def read(path: Path, content: str | bytes) -> Document:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    (document,) = parse(SourceFile(path=path, name=path.name))
    assert isinstance(document, Document)
    return document


def texts(document: Document) -> list[str]:
    return [document.text[part.start : part.end].strip() for part in document.parts]


def heading(text: str, mark: str, *, above: bool = False) -> list[str]:
    rule = mark * (2 * len(text))  # Chinese characters are two columns wide
    return [*([rule] if above else []), text, rule, ""]


def sections() -> str:
    """The facts as paragraphs, in notes, in directives that docutils does not know, in lists, and as code."""
    lines = [*heading(TITLE, "=", above=True), f":Author: {AUTHOR}", ":Date: 2026-03-14", "", ".. _start:", ""]
    for chapter, entries in chapters():
        lines += heading(chapter, "=")
        for section, facts in entries:
            lines += [*heading(section, "-")]
            for place, fact in enumerate(facts):
                lines += (
                    [fact.text, ""],
                    [".. note:: For :ref:`everyone <start>`", "", f"   {fact.text}", ""],
                    [".. py:function:: velora.run(a, *, b=1)", "   :async:", "", f"   {fact.text}", ""],
                    [f"- {fact.text}", ""],
                    [".. code-block:: console", "   :emphasize-lines: 1", "", f"   $ echo {fact.text}", ""],
                )[place]
    return "\n".join(lines)


def test_each_fact_is_in_its_section_on_its_line(tmp_path: Path):
    written = sections()
    document = read(tmp_path / "facts.rst", written)
    assert document.title == TITLE
    assert document.metadata == {"author": AUTHOR, "date": "2026-03-14"}
    for fact in FACTS:
        _, part = only_part_with(fact.text, [document])
        assert part.section == fact.section
        before = document.text[: document.text.index(fact.text)].count("\n")
        assert fact.text in written.split("\n")[before]
        assert part.location.line == document.text.count("\n", 0, part.start) + 1


def grid_table() -> list[str]:
    rule = "+" + ("-" * 100 + "+") * len(COLUMNS)
    lines = [rule, "|" + "|".join(f" {name:98} " for name in COLUMNS) + "|", rule.replace("-", "=")]
    for row in ROWS:
        cells = [f" {cell}".ljust(100) if cell.isascii() else f" {cell}" for cell in row]
        wide = [cell + " " * (100 - len(cell) - sum(not each.isascii() for each in cell)) for cell in cells]
        lines += ["|" + "|".join(wide) + "|", "|" + "|".join([" " * 100] * len(COLUMNS)) + "|", rule]
    return lines


def list_table() -> list[str]:
    rows = [COLUMNS, *ROWS]
    return [".. list-table::", "   :header-rows: 1", ""] + [
        f"   {'* -' if place == 0 else '  -'} {cell}" for row in rows for place, cell in enumerate(row)
    ]


@pytest.mark.parametrize("table", [grid_table(), list_table()], ids=["grid", "list"])
def test_a_table_has_one_line_for_each_row_and_names_its_columns(tmp_path: Path, table: list[str]):
    written = "\n".join([*heading("All", "="), *table, "", "after"])
    document = read(tmp_path / "facts.rst", written)
    for fact in FACTS:
        _, part = only_part_with(fact.text, [document])
        assert (part.kind, part.header) == (PartKind.ROWS, " | ".join(COLUMNS))
        (line,) = [number for number, line in enumerate(document.text.split("\n")) if fact.text in line]
        assert fact.id in document.text.split("\n")[line]
        assert fact.id in written.split("\n")[line]
    assert texts(document)[-1] == "after"
    assert "--" not in document.text


def test_a_simple_table_joins_the_lines_of_a_row(tmp_path: Path):
    document = read(
        tmp_path / "a.rst", "Before\n\n====  ====\na     b\n====  ====\n1     2\n3     4\n      5\n====  ====\n\nAfter"
    )
    assert texts(document) == ["Before\n\n\na | b\n\n1 | 2\n3 | 4 5", "After"]
    assert [part.header for part in document.parts] == ["a | b", ""]


def test_roles_and_directives_of_sphinx_leave_their_text_and_no_message(tmp_path: Path):
    written = """\
Use :func:`~json.dumps`, :py:meth:`!Client.send` or :ref:`the guide
<guide>` with ``indent=2``.

.. toctree::
   :maxdepth: 2

   intro
   usage

.. autofunction:: json.loads

.. versionadded:: 3.9
   The parameter *key*.

.. unknown:: `broken
"""
    text = read(tmp_path / "a.rst", written).text
    assert text.startswith("Use json.dumps, Client.send or the guide\n<guide> with indent=2.")
    for kept in ("intro", "usage", "json.loads", "3.9", "The parameter *key*.", "`broken"):
        assert kept in text
    for message in ("Unknown", "ERROR", "system_message", "No role"):
        assert message not in text


def test_long_code_is_a_part_and_short_code_stays_with_its_text(tmp_path: Path):
    long = "\n".join(f"    value_{number} = compute({number})" for number in range(CODE_CHARACTERS_MIN // 20))
    document = read(
        tmp_path / "a.rst", f"T\n=\n\nShort::\n\n    x = 1\n\nB\n-\n\n{'Words. ' * 60}\n\n::\n\n{long}\n\nend\n"
    )
    assert [(part.kind, part.section) for part in document.parts] == [
        (PartKind.CODE, ()), (PartKind.PROSE, ("B",)), (PartKind.CODE, ("B",)), (PartKind.PROSE, ("B",)),
    ]  # fmt: skip
    assert texts(document)[2] == long.strip()


def test_headings_in_code_are_code_and_empty_headings_join_the_next_part(tmp_path: Path):
    written = "A\n=\n\nB\n-\n\nC\n-\n\n::\n\n    Fake\n    ====\n\nD\n=\n\nE\n-\n"
    document = read(tmp_path / "a.rst", written)
    assert [part.section for part in document.parts] == [("C",), ("D", "E")]
    assert "Fake\n    ====" in document.text


def test_no_other_file_is_read_and_no_setting_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "secret.txt").write_text("SECRET")
    (tmp_path / "docutils.conf").write_text("[general]\nfile_insertion_enabled: yes\n")
    monkeypatch.chdir(tmp_path)
    written = (
        "A\n=\n\n.. include:: secret.txt\n\n.. csv-table::\n   :file: secret.txt\n\n"
        ".. raw:: html\n   :file: secret.txt\n\n.. literalinclude:: secret.txt\n\n.. image:: http://127.0.0.1:9/x\n\nend"
    )
    document = read(tmp_path / "a.rst", written)
    assert "SECRET" not in document.text
    assert document.text.endswith("end")


def test_what_one_file_declares_is_unknown_to_the_next(tmp_path: Path):
    before = dict(vars(directives)["_directives"]), dict(vars(roles)["_roles"])
    read(tmp_path / "a.rst", ".. role:: own(emphasis)\n\n.. default-role:: own\n\n.. foreign:: x\n\n:own:`x` `y`\n")
    assert (vars(directives)["_directives"], vars(roles)["_roles"]) == before


def test_the_header_of_a_proposal_names_title_and_author(tmp_path: Path):
    document = read(tmp_path / "a.rst", f"PEP: 9999\nTitle: {TITLE}\nAuthor: {AUTHOR}\n\nAbstract\n========\n\ntext\n")
    assert (document.title, document.metadata) == (TITLE, {"author": AUTHOR})
    assert [part.section for part in document.parts] == [(), ("Abstract",)]


@pytest.mark.parametrize(
    "written",
    ["\n".join("  " * depth + "* x" for depth in range(400)), "\n".join(f"{'>' * depth} x" for depth in range(300)),
     "=" * 50_000 + "\n" + "x" * 50_000, "\n\n".join(".. note::\n\n" + "   " * depth for depth in range(300)),
     "+" + "-" * 5_000 + "+\n" + "|" * 5_000, "`" * 100_000, "*" * 100_000],
)  # fmt: skip
def test_hostile_markup_is_text(tmp_path: Path, written: str):
    document = read(tmp_path / "a.rst", f"{written}\n\nthe end\n")
    assert document.text.rstrip().endswith("the end")


PIECES = st.sampled_from(
    [
        "A\n=\n", "B\n-\n", "====\nC\n====\n", "\n", "text\n", "  indented\n", "::\n", ".. note:: x\n", "\t",
        ".. foo::\n   :a: b\n", "==  ==\n", "a   b\n", "+--+--+\n", "|a |b |\n", ":f: v\n", ">>> 1\n", ".. _x:\n",
        ":r:`x <y>`", "``z``", "\r\n", "\x0c", "\u2028", ".. list-table::\n\n   * - a\n     - b\n", "- item\n",
        "水\n==\n", ".. |s| replace:: t\n",
    ]
)  # fmt: skip


@settings(deadline=None)
@given(pieces=st.lists(PIECES, max_size=30))
def test_parts_tile_the_text_and_lines_stay(tmp_path_factory: pytest.TempPathFactory, pieces: list[str]):
    written = "".join(pieces)
    document = read(tmp_path_factory.getbasetemp() / "a.rst", written)
    assert document.text.count("\n") == written.replace("\r\n", "\n").count("\n")
    assert "".join(document.text[part.start : part.end] for part in document.parts) == document.text
    for part in document.parts:
        assert part.location.line == document.text.count("\n", 0, part.start) + 1


@settings(deadline=None)
@given(content=st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes):
    with suppress(Unparsable):
        read(tmp_path_factory.getbasetemp() / "a.rst", content)
