"""Reads Jupyter notebooks (formats 3 and 4): one part for each cell, with the text of its output.

Images and other encoded data are left out, and of an output only the beginning is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from winnow.indexer.readers.documents.outline import Outline
from winnow.indexer.readers.parser import Parsed, SourceFile, Unparsable
from winnow.retrieval.errors import LimitExceeded
from winnow.retrieval.json_bounds import JsonBounds, parse_json
from winnow.retrieval.records import JsonValue, Location, PartKind

NOTEBOOK_BYTES_MAX: Final = 128_000_000  # bytes; most of a large notebook are images, which are left out
NOTEBOOK_JSON: Final = JsonBounds(values=3_000_000, keys=1_000_000)
OUTPUT_CHARACTERS_MAX: Final = 2_000  # characters of one cell's outputs; longer ones are tables of numbers, or logs
_METADATA_CHARACTERS_MAX: Final = 200
_AUTHORS_MAX: Final = 20

_DATA: Final = re.compile(r"data:[\w.+/-]{1,100};base64,[A-Za-z0-9+/=]*+|[A-Za-z0-9+/=]{400,}+")
_TERMINAL: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")
_OBJECT: Final = re.compile(r"<(?:Figure size [^\n>]*|[^\n>]* at 0x[0-9a-fA-F]+)>")  # says nothing to a reader
_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING: Final = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))??(?:[ \t]+#+)?[ \t]*")
_UNDERLINE: Final = re.compile(r" {0,3}(=+|-+)[ \t]*")
_MARKUP: Final = re.compile(r"!?\[([^\]]*)\]\([^)]*\)|<[^>]*>|[*`]+")


def parse(source: SourceFile) -> Iterator[Parsed]:
    """Yield the notebook as one document."""
    with source.path.open("rb") as stream:
        content = stream.read(NOTEBOOK_BYTES_MAX + 1)
    if len(content) > NOTEBOOK_BYTES_MAX:
        raise Unparsable(f"the notebook is longer than {NOTEBOOK_BYTES_MAX} bytes; clear its outputs")
    notebook = _load(content.removeprefix(b"\xef\xbb\xbf"))
    outline = Outline(locates_text=True)
    for number, cell in enumerate(_cells(notebook), start=1):
        outline.location = Location(cell=number)
        _add_cell(outline, cell)
        outline.separate()
    metadata = _mapping(notebook.get("metadata"))
    yield outline.document(source.name, title=_short(metadata.get("title")), metadata=_metadata(notebook, metadata))


def _load(content: bytes) -> Mapping[str, Any]:
    try:
        notebook = parse_json(content, NOTEBOOK_JSON)
    except LimitExceeded as error:
        raise Unparsable(f"not a usable notebook: {error.detail}") from error
    except orjson.JSONDecodeError as error:
        raise Unparsable(f"not a notebook: invalid JSON in line {error.lineno}: {error.msg}") from error
    if not isinstance(notebook, dict) or not ("cells" in notebook or "worksheets" in notebook):
        raise Unparsable("not a notebook: it has no cells")
    return notebook


def _cells(notebook: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """All cells. Format 3 keeps them in worksheets."""
    sheets = [notebook, *map(_mapping, _list(notebook.get("worksheets")))]
    return [_mapping(cell) for sheet in sheets for cell in _list(sheet.get("cells"))]


def _add_cell(outline: Outline, cell: Mapping[str, Any]) -> None:
    text = _clean(_text(cell.get("source", cell.get("input"))))
    match cell.get("cell_type"):
        case "markdown":
            _add_markdown(outline, text)
        case "heading":  # format 3
            level = cell.get("level")
            outline.heading(level if isinstance(level, int) else 1, _words(text))
        case "code":
            output = _output(_list(cell.get("outputs")))
            both = (text, output and f"Output:\n{output}")
            outline.block("\n\n".join(filter(str.strip, both)), kind=PartKind.CODE)
        case _:
            outline.paragraph(text)


def _add_markdown(outline: Outline, text: str) -> None:
    """Add a cell's headings and what stands below each."""
    fence = ""
    below: list[str] = []
    for line in text.split("\n"):
        opened = _FENCE.match(line)
        if opened and (not fence or (opened[1].startswith(fence) and not line[opened.end() :].strip())):
            fence = "" if fence else opened[1]
        elif fence:
            pass
        elif found := _HEADING.fullmatch(line):
            outline.paragraph("\n".join(below))
            outline.heading(len(found[1]), _words(found[2] or ""))
            below = []
            continue
        elif below and (found := _UNDERLINE.fullmatch(line)) and _is_line_of_text(below):
            heading = below.pop()
            outline.paragraph("\n".join(below))
            outline.heading(1 if found[1].startswith("=") else 2, _words(heading))
            below = []
            continue
        below.append(line)
    outline.paragraph("\n".join(below))


def _is_line_of_text(lines: Sequence[str]) -> bool:
    """Whether the last line stands alone, and is no list, quote or table: then a line of dashes makes it a heading."""
    alone = len(lines) == 1 or not lines[-2].strip()
    return alone and bool(lines[-1].strip()) and not re.match(r"\s*(?:[-*+>|]|\d+[.)])|    ", lines[-1])


def _output(outputs: Sequence[Any]) -> str:
    """The text of a code cell's outputs, bounded."""
    kept: list[str] = []
    room = OUTPUT_CHARACTERS_MAX
    for output in map(_mapping, outputs):
        text = _output_text(output)[: 20 * OUTPUT_CHARACTERS_MAX]
        text = _OBJECT.sub("", _clean(_TERMINAL.sub("", text.replace("\r\n", "\n")))).strip()
        if not text:
            continue
        kept.append(text if len(text) <= room else f"{text[:room].rstrip()} …")
        room -= len(text)
        if room <= 0:
            break
    return "\n".join(kept)


def _output_text(output: Mapping[str, Any]) -> str:
    match output.get("output_type"):
        case "stream":
            return _text(output.get("text"))
        case "error" | "pyerr":
            return f"{_text(output.get('ename'))}: {_text(output.get('evalue'))}"
        case _:
            data = _mapping(output.get("data"))
            return _text(data.get("text/plain", output.get("text")))


def _metadata(notebook: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, JsonValue]:
    languages = (
        _short(_mapping(metadata.get("kernelspec")).get("language")),
        _short(_mapping(metadata.get("language_info")).get("name")),
        *(_short(cell.get("language")) for cell in _cells(notebook)[:_AUTHORS_MAX]),
    )
    authors = [_mapping(author).get("name", author) for author in _list(metadata.get("authors"))[:_AUTHORS_MAX]]
    known: dict[str, JsonValue] = {
        "language": next(filter(None, languages), "").lower(),
        "author": ", ".join(filter(None, map(_short, authors))),
    }
    return {key: value for key, value in known.items() if value}


def _clean(text: str) -> str:
    """Text without encoded data."""
    return _DATA.sub("", text.replace("\0", ""))


def _words(heading: str) -> str:
    """A heading without markup."""
    return " ".join(_MARKUP.sub(r"\1", heading).split())


def _short(value: Any) -> str:
    return " ".join(value[:_METADATA_CHARACTERS_MAX].split()).replace("\0", "") if isinstance(value, str) else ""


def _text(value: Any) -> str:
    """A text, which may be a list of its lines."""
    if isinstance(value, list):
        return "".join(line for line in value if isinstance(line, str))
    return value if isinstance(value, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
