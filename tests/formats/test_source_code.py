"""The facts in source code, as documentation of its functions."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.formats.facts import FACTS, TITLE, Fact, chapters, only_part_with
from winnow.indexer.readers.code.languages import ENDINGS
from winnow.indexer.readers.documents.source_code import parse
from winnow.indexer.readers.parser import SourceFile, Unparsable
from winnow.retrieval.records import Document, PartKind


def read(path: Path, content: str | bytes, *, encoding: str | None = None) -> Document:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    (document,) = parse(SourceFile(path=path, name=path.name, encoding=encoding))
    assert isinstance(document, Document)
    return document


def _name(fact: Fact) -> str:
    return f"fact_{fact.id.replace('-', '_')}"


def _class(section: str) -> str:
    return section.title().replace(" ", "")


def python_code() -> str:
    lines = [f'"""{TITLE}."""', "", "import os", ""]
    for _, sections in chapters():
        for section, facts in sections:
            lines += ["", f"class {_class(section)}:", f'    """{section}"""', ""]
            for fact in facts:
                lines += [f"    # {fact.id}", f"    def {_name(fact)}(self):", f'        """{fact.text}"""']
                lines += ["        value = os.getpid()", "        return value", ""]
    return "\n".join(lines)


def braces_code() -> str:
    lines = ["import java.util.List;", ""]
    for _, sections in chapters():
        for section, facts in sections:
            lines += ["", f"class {_class(section)} {{"]
            for fact in facts:
                lines += [f"    /** {fact.text} */", f"    int {_name(fact)}() {{"]
                lines += ["        int value = 1;", "        return value;", "    }", ""]
            lines += ["}"]
    return "\n".join(lines)


@pytest.mark.parametrize(("name", "code"), [("facts.py", python_code()), ("Facts.java", braces_code())])
def test_each_fact_is_in_its_function(tmp_path: Path, name: str, code: str):
    document = read(tmp_path / name, code)
    for fact in FACTS:
        _, part = only_part_with(fact.text, [document])
        owner = _class(fact.section[1])
        assert part.location.symbol == f"{owner}.{_name(fact)}"
        assert (part.section, part.kind) == ((owner,), PartKind.CODE)
        assert part.location.line is not None
        assert part.location.line_end is not None
        lines = code.split("\n")[part.location.line - 1 : part.location.line_end]
        assert "\n".join(lines) == document.text[part.start : part.end].rstrip()


def test_the_document_is_titled_by_its_docstring_and_names_its_language(tmp_path: Path):
    document = read(tmp_path / "facts.py", python_code())
    assert (document.title, document.metadata) == (f"{TITLE}.", {"language": "python"})


CLIENT = """\
import socket

TIMEOUT = 3


class Client:
    \"\"\"Talks to the server.\"\"\"

    RETRIES = 3

    @property
    def host(self):
        return "a"

    @property
    def port(self):
        return 1

    # Sends one message.
    @retried
    def send(self, message):
        for _ in range(self.RETRIES):
            if self.try_once(message):
                return True
        return False

    def close(self):
        self.socket.close()
        self.socket = None
        self.is_open = False


class Small:
    def one(self):
        return 1


if __name__ == "__main__":
    Client()
"""


def test_a_long_class_has_a_part_for_its_head_and_one_for_each_method(tmp_path: Path):
    document = read(tmp_path / "client.py", CLIENT)
    assert [
        (part.location.symbol, part.location.line, part.location.line_end, part.section) for part in document.parts
    ] == [
        (None, 1, 3, ()),
        ("Client", 6, 9, ("Client",)),
        ("Client", 11, 17, ("Client",)),  # two properties of three lines each
        ("Client.send", 19, 25, ("Client",)),
        ("Client.close", 27, 30, ("Client",)),
        (None, 33, 39, ()),
    ]


def test_line_ends_of_windows_count_once(tmp_path: Path):
    document = read(tmp_path / "client.py", CLIENT.replace("\n", "\r\n"))
    assert document == read(tmp_path / "client.py", CLIENT)


def test_a_file_with_syntax_errors_is_read(tmp_path: Path):
    broken = CLIENT.replace("import socket", "import ][ socket").replace("TIMEOUT = 3", "TIMEOUT = = 3)")
    symbols = {part.location.symbol for part in read(tmp_path / "client.py", broken).parts}
    assert {"Client.send", "Client.close"} <= symbols


@pytest.mark.parametrize("encoding", ["latin-1", "gb18030", "shift_jis"])
def test_python_declares_its_encoding(tmp_path: Path, encoding: str):
    word = {"latin-1": "é", "gb18030": "水", "shift_jis": "水"}[encoding]
    code = f"#!/usr/bin/python\n# -*- coding: {encoding} -*-\nNAME = '{word}'\n"
    assert read(tmp_path / "a.py", code.encode(encoding)).text == code


def test_a_false_or_unknown_declaration_is_passed_over(tmp_path: Path):
    for declared in ("ascii", "no-such-codec", "rot13", "unicode_escape"):
        code = f"# coding: {declared}\nNAME = '水'\n"
        assert read(tmp_path / "a.py", code).text == code


def test_other_code_is_one_part_with_line_numbers(tmp_path: Path):
    document = read(tmp_path / "a.sql", "\n\nSELECT 1;\n\nSELECT 2;\n")
    (part,) = document.parts
    assert (part.kind, part.location.line, part.location.line_end) == (PartKind.CODE, 1, 5)
    assert document.metadata == {"language": "sql"}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.js", "var a=1;" * 2_000, "minified or generated code: line 1 has 16000 characters"),
        ("a.go", "// Code generated by protoc. DO NOT EDIT.\npackage a\n", "generated code, as line 1 says"),
        ("a.py", '"""x"""\n# @generated by x\n', "generated code, as line 2 says"),
        ("uv.lock", "version = 1\n", "lock file"),
        ("a.rs", b"\xff\xfe\xff\x00\x81", "not"),
        ("a.py", b"x = 1\n" * 3_000_000, "longer than"),
    ],
)
def test_what_no_person_wrote_is_refused_with_a_reason(tmp_path: Path, name: str, content: str | bytes, reason: str):
    with pytest.raises(Unparsable, match=reason):
        read(tmp_path / name, content)


def test_a_long_line_among_others_stays(tmp_path: Path):
    code = CLIENT * 20 + f"DATA = '{'x' * 10_001}'\n"
    assert read(tmp_path / "a.py", code).text == code


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.py", "(" * 200_000), ("a.c", "{[(" * 20_000), ("a.js", "\n".join("if (a) {" for _ in range(20_000)))],
)
def test_deep_nesting_is_read(tmp_path: Path, name: str, text: str):
    code = "\n".join(text[start : start + 1_000] for start in range(0, len(text), 1_000))
    document = read(tmp_path / name, code)
    assert document.parts[-1].end == len(code)


PIECES = st.sampled_from(
    [
        "def f():\n", "class A {\n", "}\n", "\r\n", "\r", "\n", "  ", "# x\n", "// y\n", "(", "'", '"""', "水", "@d\n",
        "fn g() {", "module M\n", "end\n", "  return 1\n", "export const a = () => {\n", "#ifdef X\n", "<?php\n",
        "template<T>\n",
    ]
)  # fmt: skip


@settings(deadline=None)
@given(pieces=st.lists(PIECES, max_size=40), ending=st.sampled_from(ENDINGS))
def test_parts_tile_the_text_in_whole_lines(tmp_path_factory: pytest.TempPathFactory, pieces: list[str], ending: str):
    code = "".join(pieces)
    document = read(tmp_path_factory.getbasetemp() / f"a{ending}", code)
    assert document.text == code.replace("\r\n", "\n").replace("\r", "\n")
    if not code.strip():
        return
    assert "".join(document.text[part.start : part.end] for part in document.parts) == document.text
    for part in document.parts:
        assert part.location.line == document.text.count("\n", 0, part.start) + 1
        assert part.start == 0 or document.text[part.start - 1] == "\n"
        assert part.start < part.end


@settings(deadline=None)
@given(content=st.binary(max_size=400), ending=st.sampled_from(ENDINGS))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes, ending: str):
    with suppress(Unparsable):
        read(tmp_path_factory.getbasetemp() / f"a{ending}", content)
