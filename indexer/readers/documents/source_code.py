"""Reads source code by function and class, and other code as lines."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from winnow.indexer.decoding.encodings import decode_text, find_codec
from winnow.indexer.readers.code.languages import PLAIN, PYTHON, RUST, Language, language_of
from winnow.indexer.readers.code.outline import outline
from winnow.indexer.readers.code.parts import code_parts
from winnow.indexer.readers.parser import Parsed, SourceFile, Unparsable
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.limits import RECORD_BYTES_MAX
from winnow.retrieval.records import Document

LONG_LINE_CHARACTERS: Final = 10_000  # characters; no person writes a longer line
_MARKED_WITHIN: Final = 40  # lines at the top in which generated files say so
_TITLE_CHARACTERS_MAX: Final = 200
_LOCK_FILES: Final = frozenset(
    {
        "bun.lock", "cargo.lock", "composer.lock", "conda-lock.yml", "flake.lock", "gemfile.lock", "go.sum",
        "npm-shrinkwrap.json", "package-lock.json", "packages.lock.json", "pdm.lock", "pipfile.lock", "pixi.lock",
        "pnpm-lock.yaml", "poetry.lock", "pubspec.lock", "uv.lock", "yarn.lock",
    }
)  # fmt: skip
_COMMENT: Final = re.compile(r"\s*(?:#|//|/?\*|--|;|%|<!--)")
_GENERATED: Final = re.compile(r"(?<!\S)@generated\b|Code generated .*DO NOT EDIT")
_COOKIE: Final = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_DOCSTRING: Final = re.compile(r'\A(?:[ \t]*(?:#[^\n]*)?\n)*[rRuU]?("""|\'\'\'|"|\')\s*([^\n]+)')
_INNER_DOC: Final = re.compile(r"\A(?:[ \t]*\n)*//![ \t]*([^\n]+)")


def parse(source: SourceFile) -> Iterator[Parsed]:
    """Yield the file as one document whose text is the file's, with `\\n` at the end of each line."""
    with source.path.open("rb") as stream:
        content = stream.read(RECORD_BYTES_MAX + 1)
    if len(content) > RECORD_BYTES_MAX:
        raise Unparsable(f"the file is longer than {RECORD_BYTES_MAX} bytes")
    if is_lock_file(source.name):
        raise Unparsable("a lock file of a package manager, which only lists versions and checksums")
    language = language_of(source.name, content) or PLAIN
    text = _decode(content, language, asked=source.encoding)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    _refuse_unwritten(text)
    definitions = outline(language, text.encode()) if text.strip() and language.grammar else None
    yield Document(
        id=source.name,
        text=text,
        title=_title(text, language),
        metadata={"language": language.name} if language.name else {},
        parts=code_parts(text, definitions or []) if text.strip() else (),
    )


def is_lock_file(name: str) -> bool:
    return PurePosixPath(name).name.lower() in _LOCK_FILES


def _decode(content: bytes, language: Language, *, asked: str | None) -> str:
    declared = _declared_encoding(content) if language.declares_encoding else None
    if declared is not None:
        try:
            return content.decode(declared)
        except UnicodeDecodeError:
            pass  # the declaration is wrong, as in files that were converted later
    text, _, reason = decode_text(content, asked=asked)
    if text is None:
        raise Unparsable(reason)
    return text


def _declared_encoding(content: bytes) -> str | None:
    """The encoding that a comment of the first two lines declares (PEP 263); a byte order mark wins."""
    if content.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return None
    for line in content[:1_000].splitlines()[:2]:
        if found := _COOKIE.match(line):
            try:
                return find_codec(found[1].decode("ascii", "replace"))
            except InvalidRequest:
                return None
        if line.strip() and not line.lstrip().startswith(b"#"):
            return None
    return None


def _refuse_unwritten(text: str) -> None:
    """Raise `Unparsable` for code that a program wrote for a program."""
    lines = text.split("\n")
    long_ones = [number for number, line in enumerate(lines, start=1) if len(line) > LONG_LINE_CHARACTERS]
    if sum(len(lines[number - 1]) for number in long_ones) * 2 > len(text):
        raise Unparsable(
            f"minified or generated code: line {long_ones[0]} has {len(lines[long_ones[0] - 1])} characters; "
            "index the source that it was made from"
        )
    for number, line in enumerate(lines[:_MARKED_WITHIN], start=1):
        if _COMMENT.match(line) and _GENERATED.search(line, 0, LONG_LINE_CHARACTERS):
            raise Unparsable(f"generated code, as line {number} says; index the source that it was made from")


def _title(text: str, language: Language) -> str:
    """The first line of a module's documentation, in the languages that have one for each file."""
    if language == PYTHON and (found := _DOCSTRING.match(text)):
        return found[2].partition(found[1])[0].strip()[:_TITLE_CHARACTERS_MAX]
    if language == RUST and (found := _INNER_DOC.match(text)):
        return found[1].strip()[:_TITLE_CHARACTERS_MAX]
    return ""
