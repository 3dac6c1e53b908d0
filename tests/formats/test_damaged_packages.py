"""Damaged Office files and books are read or refused with a reason; no other error leaves their parsers."""

from __future__ import annotations

import random
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.formats import test_docx, test_epub, test_pptx, test_xlsx
from winnow.indexer.corpus import Refused
from winnow.indexer.readers.documents import epub, sheets, slides, word
from winnow.indexer.readers.parser import Parser, SourceFile, Unparsable
from winnow.retrieval.records import Document

FORMATS: dict[str, tuple[Parser, Callable[[Path], None]]] = {
    "docx": (word.parse, test_docx.write),
    "pptx": (slides.parse, test_pptx.write_tables),
    "xlsx": (sheets.parse, test_xlsx.write),
    "epub": (epub.parse, lambda path: test_epub.write(path, version=3, levels=2)),
}
VALUES = ("", "-1", "9" * 400, "NaN", "1e999", "../../x", "²", "٣", "true")


def change_bytes(good: Path, bad: Path, random_numbers: random.Random) -> None:
    content = bytearray(good.read_bytes())
    for _ in range(random_numbers.choice((1, 3, 20))):
        content[random_numbers.randrange(len(content))] = random_numbers.randrange(256)
    bad.write_bytes(content)


def change_xml(good: Path, bad: Path, random_numbers: random.Random) -> None:
    """Replace a value, remove or repeat an element, or leave out an attribute, in some members."""
    with zipfile.ZipFile(good) as old, zipfile.ZipFile(bad, "w") as new:
        chosen = set(random_numbers.sample(old.namelist(), 3))
        for name in old.namelist():
            content = old.read(name)
            if name in chosen and content.startswith(b"<"):
                content = _change(content.decode(), random_numbers).encode()
            new.writestr(name, content)


def _change(text: str, random_numbers: random.Random) -> str:
    values = [match.span(1) for match in re.finditer(r'="([^"]*)"|>([^<]+)<', text) if match[1] is not None]
    elements = [match.span() for match in re.finditer(r"<([\w:]+)[^<>]*(?:/>|>[^<]*</\1>)", text)]
    attributes = [match.span() for match in re.finditer(r' [\w:]+="[^"]*"', text)]
    kind = random_numbers.choice([each for each in (values, elements, attributes) if each] or [[]])
    if not kind:
        return text
    start, end = random_numbers.choice(kind)
    if kind is values:
        return text[:start] + random_numbers.choice(VALUES) + text[end:]
    return text[:start] + (text[start:end] * 2 if random_numbers.random() < 0.3 else "") + text[end:]


def outcomes(good: Path, bad: Path, parse: Parser) -> Iterator[str]:
    random_numbers = random.Random(20)
    for number in range(60):
        (change_bytes if number % 4 == 0 else change_xml)(good, bad, random_numbers)
        try:
            parsed = list(parse(SourceFile(path=bad, name=bad.name)))
        except Unparsable as error:
            yield "refused" if str(error) else "refused without a reason"
            continue
        assert all(each.reason if isinstance(each, Refused) else isinstance(each, Document) for each in parsed)
        yield "read"


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_read_or_refused(tmp_path: Path, name: str):
    parse, write = FORMATS[name]
    write(tmp_path / f"good.{name}")
    seen = list(outcomes(tmp_path / f"good.{name}", tmp_path / f"bad.{name}", parse))
    assert {"refused", "read"} == set(seen)
