"""What is in a snapshot? The file that says so, and whether it says what was written.

    corpus.lance/...      the files of one version of the corpus, byte for byte, and the next chunk number
    manifest.json         what they are, what the catalog knew, and a checksum of itself; written last

There is a snapshot where there is a manifest. No index is in it: an index is only a cache of the corpus, which another
machine, with another processor, would rather build in its own way.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import SnapshotCorrupt
from winnow.retrieval.files.durable import FileFacts

MANIFEST: Final = "manifest.json"
CORPUS: Final = "corpus.lance/"  # every file but the manifest lies below it
FORMAT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructionText:
    """The published instruction that the collection had chosen; elsewhere there may be none of its name."""

    name: str  # as the collection names it, with a version where it does
    text: str
    document: str | None = None  # all that the version says, in words of api's; None where that is its text


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotManifest:
    """One version of a collection, and all that is needed to search it elsewhere."""

    format: int
    taken_at: str  # UTC, ISO 8601
    collection: str  # its name where it was taken
    embedder: EmbedderIdentity
    chunk_tokens: int
    instruction: InstructionText | None
    reranker: str | None
    store_version: int
    documents: int
    chunks: int
    files: dict[str, FileFacts]  # by name, relative to the place
    demote_query_echo: bool = False

    @property
    def bytes(self) -> int:
        return sum(facts.bytes for facts in self.files.values())


def written(manifest: SnapshotManifest) -> bytes:
    """The manifest and, behind it, the checksum of its own text."""
    fields = asdict(manifest)
    if manifest.instruction is not None and manifest.instruction.document is None:
        del fields["instruction"]["document"]  # which earlier winnows do not know
    if not manifest.demote_query_echo:
        del fields["demote_query_echo"]  # likewise
    content = _canonical(fields)
    return _canonical({"sha256": hashlib.sha256(content).hexdigest(), "snapshot": json.loads(content)})


def read(content: bytes, *, origin: str) -> SnapshotManifest:
    """Raises `SnapshotCorrupt` for anything but what `written` wrote, to the bit."""
    try:
        document = json.loads(content)
        fields: dict[str, Any] = document["snapshot"]
        is_whole = document["sha256"] == hashlib.sha256(_canonical(fields)).hexdigest()
    except (ValueError, KeyError, TypeError) as error:
        raise SnapshotCorrupt(f"{origin}: {MANIFEST} cannot be read") from error
    if not is_whole or _canonical(document) != content:
        raise SnapshotCorrupt(f"{origin}: {MANIFEST} differs from what was written")
    if fields.get("format") != FORMAT:
        raise SnapshotCorrupt(f"{origin}: format {fields.get('format')} is not known to this version of winnow")
    try:
        manifest = _manifest_of(fields)
    except (KeyError, TypeError, AttributeError) as error:
        raise SnapshotCorrupt(f"{origin}: {MANIFEST} does not describe a snapshot") from error
    for name in manifest.files:
        _require_inside(name, origin)
    return manifest


def _manifest_of(fields: dict[str, Any]) -> SnapshotManifest:
    chosen = fields.pop("instruction")
    return SnapshotManifest(
        embedder=EmbedderIdentity(**fields.pop("embedder")),
        instruction=InstructionText(**chosen) if chosen else None,
        files={name: FileFacts(**facts) for name, facts in fields.pop("files").items()},
        **fields,
    )


def _canonical(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, indent=1).encode("utf-8") + b"\n"


def _require_inside(name: str, origin: str) -> None:
    """A snapshot comes from elsewhere: a name in it must not lead out of the folder that it is restored to."""
    path = PurePosixPath(name)
    if not name.startswith(CORPUS) or ".." in path.parts or path.as_posix() != name or "\\" in name:
        raise SnapshotCorrupt(f"{origin}: {name!r} is no name of a file in a snapshot")
