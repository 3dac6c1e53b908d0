"""The manifest of a generation: what it was built from and with, and the checksums of its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import GenerationCorrupt
from winnow.retrieval.files.durable import FileFacts, Syncer, facts_of, write_errors, write_file
from winnow.retrieval.files.layout import MANIFEST_FILE, MANIFEST_SUM_FILE, NUMBERS_FILE, SUMS_FILE, VECTORS_FILE
from winnow.retrieval.index.build import IndexFacts
from winnow.retrieval.index.planner import Recipe

FORMAT_IN_STORE: Final = 3  # its vectors are read from the store
FORMAT: Final = 2  # it has its own vectors or codes
FORMAT_WITHOUT_RECIPE: Final = 1  # every index was exact, and the manifest did not name it
METRIC: Final = "inner product"  # of unit vectors: their cosine

NUMBER_BYTES: Final = 8
GENERATION_FILES: Final = frozenset({VECTORS_FILE, SUMS_FILE, NUMBERS_FILE, MANIFEST_FILE, MANIFEST_SUM_FILE})
_BLOCK_BYTES: Final = 1 << 20  # bytes read at a time while hashing


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a generation was built from and with."""

    name: str
    format: int
    store_version: int
    embedder: EmbedderIdentity
    metric: str
    count: int  # vectors
    built_at: str  # UTC, ISO 8601
    built_with: str  # "faiss 1.15.1"
    files: dict[str, FileFacts]
    index: IndexFacts

    @property
    def is_in_store(self) -> bool:
        """Whether its vectors are read from the store."""
        return self.format == FORMAT_IN_STORE


def read_manifest(path: Path) -> Manifest:
    try:
        content = (path / MANIFEST_FILE).read_bytes()
        expected = (path / MANIFEST_SUM_FILE).read_bytes()
    except OSError as error:
        raise GenerationCorrupt(f"its manifest cannot be read: {error}") from error
    if _hex(content) != expected:
        raise GenerationCorrupt("its manifest differs from what was written")
    fields: dict[str, Any] = json.loads(content)
    if fields.get("format") == FORMAT_WITHOUT_RECIPE:
        said = "it was built before there were other kinds"
        fields["index"] = {"recipe": "exact", "reason": said, "recall_target": 1.0, "recall": 1.0}
    elif fields.get("format") not in {FORMAT, FORMAT_IN_STORE}:
        raise GenerationCorrupt(f"this version of winnow cannot read format {fields.get('format')}")
    fields["embedder"] = EmbedderIdentity(**fields["embedder"])
    fields["files"] = {file: FileFacts(**facts) for file, facts in fields["files"].items()}
    fields["index"] = IndexFacts(**{**fields["index"], "recipe": Recipe(fields["index"]["recipe"])})
    return Manifest(**fields)


def write_manifest(path: Path, manifest: Manifest, *, syncer: Syncer) -> None:
    content = json.dumps(asdict(manifest), indent=2, ensure_ascii=False).encode("utf-8")
    write_file(path / MANIFEST_FILE, content, syncer=syncer)
    write_file(path / MANIFEST_SUM_FILE, _hex(content), syncer=syncer)


def _hex(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode("ascii")


def write_hashed(path: Path, write: Callable[[Callable[[bytes], object]], object]) -> FileFacts:
    """Write a file through `write`; the facts are of the data that was to be written."""
    digest = hashlib.sha256()
    size = 0

    with write_errors(path), path.open("wb") as file:

        def sink(block: bytes) -> None:
            nonlocal size
            digest.update(block)
            size += len(block)
            file.write(block)

        write(sink)
    return FileFacts(bytes=size, sha256=digest.hexdigest())


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise GenerationCorrupt(f"{path.name} cannot be read: {error.strerror}") from error


def require_files(path: Path, manifest: Manifest) -> None:
    """Compare the files of a generation with its manifest. Reads all of them. Raises `GenerationCorrupt`."""
    for file, facts in manifest.files.items():
        found = facts_of_file(path / file)
        if found != facts:
            raise GenerationCorrupt(
                f"{file} differs from what was written ({found.bytes} bytes, expected {facts.bytes})"
            )


def facts_of_file(path: Path) -> FileFacts:
    try:
        return facts_of(path)
    except OSError as error:
        raise GenerationCorrupt(f"{path.name} cannot be read: {error.strerror}") from error
