"""Reads the mapping of `winnow index --fields-file`.

    id: docid
    text: [abstract, body]        one field, or several that are joined with a blank line between them
    title: headline
    url: link
    id_from: hash                 or line: for records without an id
    metadata:
      keep: [year, lang]          only these; without it all other fields
      drop: [raw]
      rename: {yr: year}

Every key may be missing; what it would name is detected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from winnow.indexer.id_source import IdSource
from winnow.indexer.readers.fields import ALL_METADATA, Fields, MetadataChoice
from winnow.retrieval.errors import InvalidRequest

_KEYS: Final = ("id", "text", "title", "url", "id_from", "metadata")
_METADATA_KEYS: Final = ("keep", "drop", "rename")


def parse_mapping(node: object) -> Fields:
    """Parse the value of a mapping file. Raises `InvalidRequest`."""
    given = _mapping(node, "the file", _KEYS)
    id_from = _text(given, "id_from")
    if id_from is not None and id_from not in tuple(IdSource):
        raise InvalidRequest(f"id_from must be {' or '.join(IdSource)}, not {id_from!r}")
    return Fields(
        id=_text(given, "id"),
        text=_texts(given, "text") or None,
        title=_text(given, "title"),
        url=_text(given, "url"),
        metadata=_metadata(given.get("metadata")),
        id_from=IdSource(id_from) if id_from is not None else None,
    )


def _metadata(node: object) -> MetadataChoice:
    if node is None:
        return ALL_METADATA
    given = _mapping(node, "metadata", _METADATA_KEYS)
    rename = _mapping(given.get("rename") or {}, "rename", None)
    names = {name: _text(rename, name) or "" for name in rename}
    targets = Counter(names.values())
    if bad := [target for target, count in targets.items() if count > 1 or not target]:
        raise InvalidRequest(f"rename must give each field a name of its own; {bad[0]!r} is not")
    keep = _texts(given, "keep") if "keep" in given else None
    return MetadataChoice(
        keep=None if keep is None else frozenset(keep), drop=frozenset(_texts(given, "drop")), rename=names
    )


def _mapping(node: object, what: str, keys: tuple[str, ...] | None) -> Mapping[str, object]:
    if not isinstance(node, dict):
        raise InvalidRequest(f"{what} must be a mapping of names to values")
    for key in node:
        if keys is not None and key not in keys:
            raise InvalidRequest(f"{what} has the unknown key {key!r}; known are {', '.join(keys)}")
    return node


def _text(given: Mapping[str, object], key: str) -> str | None:
    value = given.get(key)
    if value is not None and not (isinstance(value, str) and value):
        raise InvalidRequest(f"{key} must be the name of a field; write it in quotes if it looks like a number")
    return value


def _texts(given: Mapping[str, object], key: str) -> tuple[str, ...]:
    value = given.get(key)
    if value is None:
        return ()
    names = value if isinstance(value, list) else [value]
    if not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
        raise InvalidRequest(f"{key} must be the name of a field, or a list of different names")
    return tuple(names)
