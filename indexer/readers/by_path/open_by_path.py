"""Opens a file whose records are at a path."""

from __future__ import annotations

from pathlib import Path

from winnow.indexer.readers.by_path.json_records import JsonPathCorpus
from winnow.indexer.readers.by_path.records_path import json_steps, xml_steps
from winnow.indexer.readers.fields import Fields
from winnow.indexer.readers.jsonl import JsonCorpus
from winnow.retrieval.errors import CorpusUnreadable, InvalidRequest


def open_by_path(path: Path, records_path: str, *, fields: Fields, encoding: str | None = None) -> JsonCorpus:
    """Choose the reader by the ending. Raises `InvalidRequest` and `CorpusUnreadable`."""
    name = path.name.lower().removesuffix(".gz").removesuffix(".zst")
    if name.endswith(".json"):
        steps = json_steps(records_path)
        return JsonPathCorpus(path=path, fields=fields, encoding=encoding, steps=steps, shown_path=records_path)
    if not name.endswith(".xml"):
        raise InvalidRequest(f"--records-path applies to a .json or .xml file (also .gz, .zst), not to {path.name}")
    try:
        from winnow.indexer.readers.by_path.xml_records import XmlPathCorpus  # lxml is optional
    except ModuleNotFoundError as error:
        raise CorpusUnreadable(f"{path}: lxml is not installed. Run: pip install 'winnow-search[documents]'") from error
    return XmlPathCorpus(
        path=path,
        fields=fields,
        encoding=encoding,
        steps=xml_steps(records_path),
        is_from_root=records_path.strip().startswith("/"),
        shown_path=records_path,
    )
