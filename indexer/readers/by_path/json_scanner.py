"""Reads JSON value by value without holding more than one of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, Final

import orjson

from winnow.retrieval.errors import CorpusUnreadable

_BLOCK_BYTES: Final = 1 << 16
_NAME_BYTES_MAX: Final = 65_536
_NOT_BLANK: Final = re.compile(rb"[^ \t\r\n]")
_OUTSIDE: Final = re.compile(rb'["{}\[\]]')
_IN_STRING: Final = re.compile(rb'["\\]')
_SCALAR_END: Final = re.compile(rb"[ \t\r\n,\]}]")


class JsonScanner:
    """A position in a JSON text."""

    def __init__(self, stream: BinaryIO, *, bytes_max: int) -> None:
        self.line = 1
        self._stream = stream
        self._bytes_max = bytes_max
        self._block = b""
        self._at = 0
        self._kept: bytearray | None = None  # of the value that is being read; None: it is passed over
        self._is_too_long = False

    def peek(self) -> bytes:
        """The next byte that is not blank, which stays; empty at the end."""
        while True:
            found = _NOT_BLANK.search(self._block, self._at)
            self._pass(found.start() if found else len(self._block))
            if found:
                return found[0]
            if not self._has_more():
                return b""

    def members(self) -> Iterator[str]:
        """Yield the name of each member of an object that begins here; read or skip its value before the next."""
        yield from self._inside(b"}", with_names=True)

    def items(self) -> Iterator[str]:
        """Yield once for each item of an array that begins here; read or skip it before the next."""
        yield from self._inside(b"]", with_names=False)

    def read(self) -> bytes | None:
        """The value that begins here; None if it is too long."""
        self.peek()
        self._kept, self._is_too_long = bytearray(), False
        self.skip()
        kept, self._kept = bytes(self._kept), None
        return None if self._is_too_long else kept

    def skip(self) -> None:
        """Pass over the value that begins here."""
        first = self.peek()
        if first in (b"", b",", b":", b"]", b"}"):
            raise self._fault("a value is missing")
        if first not in b'"{[':
            self._pass_scalar()
            return
        depth = 0
        while True:
            found = self._find(_OUTSIDE)
            if found == b'"':
                self._pass_string()
            else:
                depth += 1 if found in b"{[" else -1
            if depth <= 0:
                return

    def require_end(self) -> None:
        if self.peek():
            raise self._fault("unexpected text after the value")

    def _inside(self, end: bytes, *, with_names: bool) -> Iterator[str]:
        self.peek()
        self._pass(self._at + 1)
        while (following := self.peek()) != end:
            if following == b"":
                raise self._fault("the file ends in the middle of a value; it may be incomplete")
            name = ""
            if with_names:
                name = self._name()
            before = self.line, self._at, self._block
            yield name
            assert before != (self.line, self._at, self._block), "the value was read. This is a bug."
            if self.peek() == b",":
                self._pass(self._at + 1)
            elif self.peek() not in (end, b""):
                raise self._fault("a comma is missing")
        self._pass(self._at + 1)

    def _name(self) -> str:
        bytes_max, self._bytes_max = self._bytes_max, _NAME_BYTES_MAX
        content = self.read() if self.peek() == b'"' else None
        self._bytes_max = bytes_max
        if content is None or self.peek() != b":":
            raise self._fault("a field has no name")
        self._pass(self._at + 1)
        try:
            return str(orjson.loads(content))
        except orjson.JSONDecodeError as error:
            raise self._fault(f"the name of a field is invalid: {error.msg}") from error

    def _pass_scalar(self) -> None:
        while True:
            found = _SCALAR_END.search(self._block, self._at)
            self._pass(found.start() if found else len(self._block))
            if found or not self._has_more():
                return

    def _pass_string(self) -> None:
        """Pass over the rest of a string whose first quote is behind."""
        while self._find(_IN_STRING) == b"\\":
            if self._at >= len(self._block) and not self._has_more():
                raise self._fault("the file ends in the middle of a value; it may be incomplete")
            self._pass(self._at + 1)

    def _find(self, pattern: re.Pattern[bytes]) -> bytes:
        """Pass over everything up to the next match, and the match."""
        while True:
            found = pattern.search(self._block, self._at)
            self._pass(found.end() if found else len(self._block))
            if found:
                return found[0]
            if not self._has_more():
                raise self._fault("the file ends in the middle of a value; it may be incomplete")

    def _pass(self, end: int) -> None:
        self.line += self._block.count(b"\n", self._at, end)
        if self._kept is not None and not self._is_too_long:
            self._kept += self._block[self._at : end]
            if len(self._kept) > self._bytes_max:
                self._is_too_long = True
                self._kept.clear()
        self._at = end

    def _has_more(self) -> bool:
        self._block, self._at = self._stream.read(_BLOCK_BYTES), 0
        return bool(self._block)

    def _fault(self, what: str) -> CorpusUnreadable:
        return CorpusUnreadable(f"invalid JSON in line {self.line}: {what}")
