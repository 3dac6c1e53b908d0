"""The manifest of a snapshot: its content, and a check that it is unchanged.

    corpus.lance/...      the files of one version of the corpus, byte for byte, and the next chunk number
    manifest.json         what they are, what the catalog knew, and a checksum of itself; written last

A snapshot exists once its manifest does. It contains no index: an index is only a cache of the corpus, and another
machine, with another processor, builds its own.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from winnow.retrieval.document_fields import NO_CHOICE, FieldChoice, check_fields
from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import InvalidRequest, SnapshotCorrupt
from winnow.retrieval.files.durable import FileFacts
from winnow.retrieval.records import AS_RANKED, Collapse, Diversity

MANIFEST: Final = "manifest.json"
CORPUS: Final = "corpus.lance/"  # every file except the manifest is below it
FORMAT: Final = 1
_FIELDS: Final = frozenset({"rerank_fields", "embed_fields"})


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructionText:
    """The published instruction that the collection had chosen; elsewhere its name may be missing."""

    name: str  # as the collection names it, possibly with a version
    text: str
    document: str | None = None  # the version's whole content, in api's format; None if that is only its text


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotManifest:
    """One version of a collection, with everything needed to search it elsewhere."""

    format: int
    taken_at: str  # UTC, ISO 8601
    collection: str  # its original name
    embedder: EmbedderIdentity
    chunk_tokens: int
    instruction: InstructionText | None
    reranker: str | None
    store_version: int
    documents: int
    chunks: int
    files: dict[str, FileFacts]  # by name, relative to the location
    demote_query_echo: bool = False
    require_instruction: bool = False
    rerank_fields: FieldChoice = NO_CHOICE
    embed_fields: FieldChoice = NO_CHOICE
    diversity: Diversity = AS_RANKED

    @property
    def bytes(self) -> int:
        return sum(facts.bytes for facts in self.files.values())


def written(manifest: SnapshotManifest) -> bytes:
    """Return the manifest, with the checksum of its own text."""
    fields = asdict(manifest)
    if manifest.instruction is not None and manifest.instruction.document is None:
        del fields["instruction"]["document"]  # earlier winnows do not know this field
    if not manifest.demote_query_echo:
        del fields["demote_query_echo"]  # likewise
    if not manifest.require_instruction:
        del fields["require_instruction"]  # likewise
    for name in _FIELDS:
        if getattr(manifest, name) == NO_CHOICE:
            del fields[name]  # likewise: one that does not know them refuses a snapshot with fields
    if not manifest.diversity.is_on:
        del fields["diversity"]  # likewise
    content = _canonical(fields)
    return _canonical({"sha256": hashlib.sha256(content).hexdigest(), "snapshot": json.loads(content)})


def read(content: bytes, *, origin: str) -> SnapshotManifest:
    """Parse a manifest. Raises `SnapshotCorrupt` for anything that differs by a bit from what `written` returned."""
    try:
        document = json.loads(content)
        fields: dict[str, Any] = document["snapshot"]
        is_whole = document["sha256"] == hashlib.sha256(_canonical(fields)).hexdigest()
    except (ValueError, KeyError, TypeError) as error:
        raise SnapshotCorrupt(f"{origin}: {MANIFEST} cannot be read") from error
    if not is_whole or _canonical(document) != content:
        raise SnapshotCorrupt(f"{origin}: {MANIFEST} differs from what was written")
    if fields.get("format") != FORMAT:
        raise SnapshotCorrupt(f"{origin} has format {fields.get('format')}, which this version of winnow cannot read")
    try:
        manifest = _manifest_of(fields)
    except (KeyError, TypeError, AttributeError, InvalidRequest) as error:
        raise SnapshotCorrupt(f"{origin}: {MANIFEST} does not describe a snapshot") from error
    for name in manifest.files:
        _require_inside(name, origin)
    return manifest


def _manifest_of(fields: dict[str, Any]) -> SnapshotManifest:
    chosen = fields.pop("instruction")
    for name in _FIELDS & fields.keys():
        fields[name] = check_fields(fields[name]["names"], fields[name]["tokens_max"])
    diversity = fields.pop("diversity", None)
    return SnapshotManifest(
        embedder=EmbedderIdentity(**fields.pop("embedder")),
        instruction=InstructionText(**chosen) if chosen else None,
        diversity=_diversity_of(**diversity) if diversity else AS_RANKED,
        files={name: FileFacts(**facts) for name, facts in fields.pop("files").items()},
        **fields,
    )


def _diversity_of(*, collapse: dict[str, Any], mmr_lambda: float | None) -> Diversity:
    return Diversity(collapse=Collapse(**collapse), mmr_lambda=mmr_lambda)


def _canonical(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, indent=1).encode("utf-8") + b"\n"


def _require_inside(name: str, origin: str) -> None:
    """Require a name inside the snapshot: it comes from elsewhere and must not lead out of the restored folder."""
    path = PurePosixPath(name)
    if not name.startswith(CORPUS) or ".." in path.parts or path.as_posix() != name or "\\" in name:
        raise SnapshotCorrupt(f"{origin}: {name!r} is not a valid file name in a snapshot")
