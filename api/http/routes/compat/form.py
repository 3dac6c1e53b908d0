"""Reads the form of an upload as it arrives: its file goes to the disk, its few fields stay in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from python_multipart import MultipartParser
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import parse_options_header

from winnow.retrieval.errors import InvalidRequest, LimitExceeded, UnsupportedMedia
from winnow.retrieval.limits import FILE_BYTES_MAX

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FIELDS_MAX: Final = 16
FIELD_BYTES_MAX: Final = 1_024
FILE_FIELD: Final = "file"


class Sink(Protocol):
    """Where the file goes."""

    size: int

    def open(self, name: str) -> None: ...

    def write(self, content: bytes) -> None: ...


class UploadForm:
    """One form with one file. Its calls block, and raise `InvalidRequest`, `LimitExceeded` and what the sink raises."""

    def __init__(self, content_type: str, sink: Sink) -> None:
        """Raises `UnsupportedMedia` if the body is no form."""
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise UnsupportedMedia("send the file as a form: Content-Type: multipart/form-data; boundary=...")
        self._sink = sink
        self._header = b""
        self._headers: dict[bytes, bytes] = {}
        self._value = b""
        self._part = ""
        self._writes = False
        self._is_over = False
        self.name: str | None = None  # of the file; None: none has come
        self.fields: dict[str, str] = {}
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._begin,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_header_begin": self._begin_header,
            "on_header_field": self._add_name,
            "on_header_value": self._add_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._open,
            "on_end": self._finish,
        }
        self._parser = MultipartParser(boundary, callbacks)

    def feed(self, content: bytes) -> None:
        try:
            self._parser.write(content)
        except MultipartParseError as error:
            raise InvalidRequest(f"the form is not valid multipart/form-data: {str(error)[:200]}") from error

    def end(self) -> str:
        """Return the name of the file, once all of the form was fed."""
        if not self._is_over:
            raise InvalidRequest("the form ends before its last boundary")
        if self.name is None:
            raise InvalidRequest(f"the form has no file; send it in the field '{FILE_FIELD}'", param=FILE_FIELD)
        return self.name

    def _begin(self) -> None:
        self._headers, self._value, self._writes = {}, b"", False

    def _begin_header(self) -> None:
        self._header = self._value = b""

    def _add_name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._header.lower()] = self._value

    def _open(self) -> None:
        self._value = b""
        kind, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if kind != b"form-data" or b"name" not in options:
            raise InvalidRequest("a part of the form has no 'Content-Disposition: form-data; name=...'")
        self._part = _text(options[b"name"])
        if b"filename" not in options and self._part != FILE_FIELD:
            return
        if self._part != FILE_FIELD or self.name is not None:
            raise InvalidRequest(f"send one file, in the field '{FILE_FIELD}'", param=FILE_FIELD)
        self.name = _text(options.get(b"filename", b"")) or FILE_FIELD
        self._sink.open(self.name)
        self._writes = True

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._writes:
            if self._sink.size + end - start > FILE_BYTES_MAX:
                raise LimitExceeded(f"the file has more than {FILE_BYTES_MAX} bytes")
            self._sink.write(data[start:end])
            return
        self._value += data[start:end]
        if len(self._value) > FIELD_BYTES_MAX:
            raise LimitExceeded(f"the field {self._part[:40]!r} has more than {FIELD_BYTES_MAX} bytes")

    def _end(self) -> None:
        if not self._writes:
            self.fields[self._part] = _text(self._value)
            if len(self.fields) > FIELDS_MAX:
                raise LimitExceeded(f"the form has more than {FIELDS_MAX} fields")

    def _finish(self) -> None:
        self._is_over = True


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequest("a name or a field of the form is not UTF-8") from error
