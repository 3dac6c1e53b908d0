"""Reads Arrow files and data sets of Hugging Face from disk, with pyarrow alone.

`Dataset.save_to_disk` writes a folder with `dataset_info.json`, `state.json` and streams `data-*.arrow`;
`DatasetDict.save_to_disk` writes `dataset_dict.json` and such a folder for each split. Files are memory mapped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson
import pyarrow as pa

from winnow.indexer.account import Account
from winnow.indexer.corpus import Entry
from winnow.indexer.decoding.streams import require_file, shown_path
from winnow.indexer.readers.fields import Fields
from winnow.indexer.readers.naming.columnar import decide_schema, make_records
from winnow.indexer.readers.naming.naming import Naming, SourceRecord
from winnow.retrieval.errors import CorpusUnreadable, InvalidRequest

ARROW_SUFFIXES: Final = frozenset({".arrow", ".feather"})
_ROWS_AT_ONCE: Final = 256  # rows converted as one batch
_FILE_MAGIC: Final = b"ARROW1"
_STATE: Final = "state.json"
_INFO: Final = "dataset_info.json"
_SPLITS: Final = "dataset_dict.json"


def is_saved_dataset(folder: Path) -> bool:
    """Whether `save_to_disk` wrote this folder."""
    return (folder / _SPLITS).is_file() or ((folder / _STATE).is_file() and (folder / _INFO).is_file())


def open_saved_dataset(folder: Path, *, fields: Fields, splits: Sequence[str]) -> ArrowCorpus:
    """Open the data set; no `splits` means all. Raises `CorpusUnreadable`, `InvalidRequest`."""
    note = ""
    if not (folder / _SPLITS).is_file():
        if splits:
            raise InvalidRequest(f"--split applies to a data set with splits; {folder.name} has none")
        files = _data_files(folder)
    else:
        named = _read_json(folder / _SPLITS).get("splits")
        if not isinstance(named, list) or not all(isinstance(name, str) and _is_name(name) for name in named):
            raise CorpusUnreadable(f"{folder / _SPLITS} names no splits")
        if unknown := [name for name in splits if name not in named]:
            raise InvalidRequest(f"--split: {folder.name} has no split {unknown[0]!r}; it has {', '.join(named)}")
        chosen = [name for name in named if not splits or name in splits]
        files = tuple(file for name in chosen for file in _data_files(folder / name))
        note = f"{shown_path(folder.name)}: split{'s' if len(chosen) > 1 else ''} {', '.join(chosen)}"
        note += "." if splits else " (all; --split NAME chooses)."
    return ArrowCorpus(path=folder, files=files, fields=fields, note=note)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrowCorpus:
    """Arrow files that make one corpus; the line of a record is its row number in its file, counted from 1."""

    path: Path  # the file, or the folder of the files
    files: tuple[Path, ...]
    fields: Fields
    note: str = ""
    label: str = ""  # what its records are named after; empty: the file
    naming: Naming = field(default_factory=Naming, compare=False, repr=False)

    @property
    def name(self) -> str:
        return self.label or shown_path(self.path.name)

    @property
    def size(self) -> int:
        return sum(_size(file) for file in self.files)

    def require_columns(self) -> None:
        """Raise `CorpusUnreadable` if the columns for id and text are missing, or names repeat."""
        if self.files:
            with _open(self.files[0]) as (_, reader):
                self.naming.decision = decide_schema(reader.schema, self.fields, origin=self.path)

    def entries(self) -> Iterator[Entry]:
        self.require_columns()
        yield from self.naming.entries(self._records(), self.fields)

    def account(self) -> Account:
        return Account(notes=(*((self.note,) if self.note else ()), *self.naming.notes(self.name)))

    def stop(self) -> None:
        """Nothing to stop: it never waits for input."""

    def _records(self) -> Iterator[SourceRecord]:
        before = 0
        for file in self.files:
            shown = self.name if file == self.path else shown_path(str(file.relative_to(self.path)))
            number = 0
            with _open(file) as (size, reader):
                decision = decide_schema(reader.schema, self.fields, origin=file)
                try:
                    for done, batch in _batches(reader, size):
                        for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
                            rows = batch.slice(start, _ROWS_AT_ONCE)
                            position = before + done
                            yield from make_records(
                                rows, decision.fields, source=shown, above=number, position=position
                            )
                            number += rows.num_rows
                except (pa.ArrowException, OSError) as error:
                    raise CorpusUnreadable(f"{file} after row {number}: {error}") from error
            before += size


class _open:  # noqa: N801  used like the function of this name
    """Opens an Arrow file or stream: its size and reader."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> tuple[int, Any]:
        try:
            require_file(self._path)
            self._map = pa.memory_map(str(self._path))
            is_file = self._map.read(len(_FILE_MAGIC)) == _FILE_MAGIC
            self._map.seek(0)
            return self._map.size(), pa.ipc.open_file(self._map) if is_file else pa.ipc.open_stream(self._map)
        except (pa.ArrowException, OSError) as error:
            raise CorpusUnreadable(f"{self._path}: {error}") from error

    def __exit__(self, *_: object) -> None:
        self._map.close()


def _batches(reader: Any, size: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield batches, each with about how many bytes of the file end with it."""
    if isinstance(reader, pa.ipc.RecordBatchFileReader):
        count = reader.num_record_batches
        for place in range(count):
            yield size * (place + 1) // count, reader.get_batch(place)
        return
    done = 0
    for batch in reader:
        done = min(size, done + batch.nbytes)
        yield done, batch


def _data_files(folder: Path) -> tuple[Path, ...]:
    state = _read_json(folder / _STATE)
    if state.get("_indices_data_files") or state.get("_indices_files"):
        raise CorpusUnreadable(
            f"{folder} selects rows by an index that old versions of datasets wrote; load and save it again"
        )
    listed = state.get("_data_files")
    names = [each.get("filename") for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    if not names or not all(isinstance(name, str) and _is_name(name) for name in names):
        raise CorpusUnreadable(f"{folder / _STATE} names no data files")
    return tuple(folder / str(name) for name in names)


def _is_name(name: str) -> bool:
    """Whether this names something in the folder itself: the file that says so is not trusted."""
    return bool(name) and name not in (".", "..") and "/" not in name and "\\" not in name and "\0" not in name


def _read_json(path: Path) -> dict[str, Any]:
    try:
        require_file(path)
        value = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise CorpusUnreadable(f"{path}: {error}") from error
    if not isinstance(value, dict):
        raise CorpusUnreadable(f"{path} is not a JSON object")
    return value


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError as error:
        raise CorpusUnreadable(f"{file}: {error.strerror}") from error
