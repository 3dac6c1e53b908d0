"""Encodings: a text is read as what it is, a guess is told, and what cannot be told is rejected and not guessed."""

from __future__ import annotations

import codecs
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from winnow.api.collections.ingest import records_of_lines
from winnow.indexer.corpus import Corpus, Record, Reject, check_entries
from winnow.indexer.decoding.encodings import decode_text, detect_encoding, find_codec
from winnow.indexer.readers.open_corpus import Reading, open_corpus
from winnow.retrieval.errors import InvalidRequest

SIMPLIFIED = "员工手册第三章：请假制度。员工因病请假，须于当日上午九点前通知直属主管，并于返岗后三日内提交医院证明。"
TRADITIONAL = "員工手冊第三章：請假制度。員工因病請假，須於當日上午九點前通知直屬主管，並於返崗後三日內提交醫院證明。"
GERMAN = "Die Größe der Überweisung muß für jeden Kunden geprüft werden. Schöne Grüße aus München."
FRENCH = "Les employés doivent prévenir leur supérieur dès que possible. Le congé annuel est limité à trente jours."
RUSSIAN = "Сотрудники должны уведомить руководителя до девяти часов утра."
JAPANESE = "社員は病気で休む場合、当日の午前九時までに上司に連絡しなければなりません。"
MARKS = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}
DETECTED = [
    (SIMPLIFIED, "gbk", "gb18030"),
    (SIMPLIFIED, "gb18030", "gb18030"),
    (TRADITIONAL, "big5", "big5"),
    (GERMAN, "latin-1", "cp1252"),
    (FRENCH, "cp1252", "cp1252"),
    (RUSSIAN, "cp1251", "cp1251"),
    (JAPANESE, "shift_jis", "cp932"),
    (JAPANESE, "iso2022_jp", "iso2022_jp"),
    (GERMAN + "\n", "utf-16-le", "utf-16-le"),
    (SIMPLIFIED + "\r\n", "utf-16-be", "utf-16-be"),
]


def table(text: str) -> str:
    return f"id,text\na,{text}\n"


def lines(text: str) -> str:
    return orjson.dumps({"id": "a", "text": text}).decode() + "\n"


def array(text: str) -> str:
    return f'[\n  {{"id": "a",\n   "text": "{text}"}}\n]\n'


FORMS: dict[str, Callable[[str], str]] = {"x.csv": table, "x.jsonl": lines, "x.json": array}


def text_in(corpus: Corpus) -> str:
    (entry,) = check_entries(corpus.entries())
    assert isinstance(entry, Record), entry
    return entry.document.text


@pytest.mark.parametrize("encoding", MARKS)
@pytest.mark.parametrize("name", FORMS)
def test_a_byte_order_mark_is_read_alike_by_every_reader(tmp_path: Path, name: str, encoding: str):
    """It says the encoding, against `--encoding` too, and is no part of the first field."""
    path = tmp_path / name
    path.write_bytes(MARKS[encoding] + FORMS[name](SIMPLIFIED).encode(encoding))
    assert text_in(open_corpus(str(path))) == SIMPLIFIED
    assert text_in(open_corpus(str(path), Reading(encoding="big5"))) == SIMPLIFIED
    assert "detected" not in "".join(open_corpus(str(path)).account().notes)


@pytest.mark.parametrize("encoding", MARKS)
def test_a_byte_order_mark_over_http(encoding: str):
    """The first record of NDJSON is not lost."""
    body = MARKS[encoding] + (lines("eins") + lines("zwei")).encode(encoding)
    assert [record for _, record in records_of_lines(body)] == [
        {"id": "a", "text": "eins"}, {"id": "a", "text": "zwei"}
    ]  # fmt: skip


@pytest.mark.parametrize(("text", "encoding", "expected"), DETECTED)
@pytest.mark.parametrize("name", FORMS)
def test_an_encoding_is_detected_and_told(tmp_path: Path, name: str, text: str, encoding: str, expected: str):
    """The text comes out as it was written, and the account names the guess and the flag that overrules it."""
    path = tmp_path / name
    path.write_bytes(FORMS[name](text.strip()).encode(encoding))
    corpus = open_corpus(str(path))
    assert text_in(corpus) == text.strip()
    assert corpus.account().notes[0] == (
        f"{name} is not UTF-8; read as {expected} (detected). Use --encoding NAME if that is wrong."
    )


@pytest.mark.parametrize("content", [b"caf\xe9", b"10 \xb0C", b"\xff", b"a\0b", bytes(range(256))])
def test_too_little_to_tell_is_not_guessed(content: bytes):
    """A reject that says what to do, and never a NUL."""
    text, encoding, reason = decode_text(content)
    if text is None:
        assert reason.startswith("not UTF-8: ")
        assert "--encoding NAME" in reason
    else:
        assert not encoding.is_detected


def test_a_damaged_line_does_not_change_the_encoding_of_the_others(tmp_path: Path):
    """It is rejected, and they are read as UTF-8."""
    path = tmp_path / "x.csv"
    path.write_bytes(f"id,text\na,{SIMPLIFIED}\nb,".encode() + b"\xff\xfe\xfd\n" + f"c,{SIMPLIFIED}\n".encode())
    first, second, third = check_entries(open_corpus(str(path)).entries())
    assert isinstance(first, Record)
    assert isinstance(second, Reject)
    assert isinstance(third, Record)
    assert third.document.text == SIMPLIFIED


@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1), st.sampled_from(sorted(MARKS)))
def test_any_text_behind_a_mark_comes_back(text: str, encoding: str):
    """And without a mark, UTF-8 that is not mere ASCII does, whatever was asked for."""
    assume(not text.startswith("\0"))  # behind the mark of UTF-16 this is the mark of UTF-32
    assert decode_text(MARKS[encoding] + text.encode(encoding), asked="latin-1")[0] == text
    if not text.isascii() and not text.startswith("\ufeff"):
        assert decode_text(text.encode(), asked="big5")[0] == text


@given(st.binary(max_size=300), st.sampled_from([None, "gb18030", "utf-16-le"]))
def test_any_bytes_have_an_encoding_or_a_reason(content: bytes, asked: str | None):
    """No exception, and a text is what its encoding says."""
    text, encoding, reason = decode_text(content, asked=asked)
    assert (text is None) == bool(reason)
    if text is not None:
        assert text == content.removeprefix(encoding.mark).decode(encoding.name)


@pytest.mark.parametrize("content", [b"ab\0c", b"id,text\n1,a\0b\n", b"\0a log line with a NUL in front"])
def test_ascii_with_a_few_nuls_is_not_read_as_utf_16(content: bytes) -> None:
    """Pairs of its bytes would be Chinese characters that nobody wrote; as UTF-8 it is rejected for its NUL."""
    assert decode_text(content)[0] == content.decode("ascii")
    for text in ("a", "hello, world\n", "Привет мир", "中文 text with more than a few letters"):
        for encoding in ("utf-16-le", "utf-16-be"):
            assert decode_text(text.encode(encoding))[0] == text


def test_asked_encodings(tmp_path: Path):
    """By any name that Python knows; GBK is read as the standard that holds it."""
    assert find_codec("GBK") == find_codec("gb2312") == "gb18030"
    assert detect_encoding("ascii".encode("utf-16-le"), asked=find_codec("utf-16")).name == "utf-16-le"
    path = tmp_path / "x.csv"
    path.write_bytes(table("café").encode("latin-1"))
    assert text_in(open_corpus(str(path), Reading(encoding=find_codec("latin-1")))) == "café"
    for impossible in ("base64", "rot13", "no-such", "unicode_escape", "idna", ""):
        with pytest.raises(InvalidRequest, match="--encoding"):
            find_codec(impossible)


def test_what_an_encoding_does_not_have_rejects_its_line(tmp_path: Path):
    """And names the encoding; the next line is read."""
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"id": "a", "text": "\xff\xff"}\n' + '{"id": "b", "text": "民法"}\n'.encode("gbk"))
    first, second = check_entries(open_corpus(str(path), Reading(encoding="gb18030")).entries())
    assert isinstance(first, Reject)
    assert first.reason == "not gb18030"
    assert isinstance(second, Record)
    assert second.document.text == "民法"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_a_mark_on_the_standard_input(encoding: str):
    """`-` is read as a file is."""
    program = (
        "from winnow.indexer.readers.open_corpus import open_corpus\n"
        "print([entry.document.id for entry in open_corpus('-').entries()])"
    )
    content = (lines("eins") + lines("zwei").replace('"a"', '"b"')).encode(encoding)
    finished = subprocess.run([sys.executable, "-c", program], input=content, capture_output=True, check=True)
    assert finished.stdout.decode().strip() == "['a', 'b']"
