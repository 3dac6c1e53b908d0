"""Opens the current generation after checking it, or the newest intact one before it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np

from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import GenerationCorrupt, ModelMismatch, StoreCorrupt
from winnow.retrieval.files.layout import NUMBERS_FILE, VECTORS_FILE, CollectionFolder
from winnow.retrieval.generation.manifest import Manifest, facts_of_file, read_manifest, require_files, size_of
from winnow.retrieval.generation.pointer import current_name, names, names_to_try
from winnow.retrieval.generation.stored_vectors import read_index, read_numbers
from winnow.retrieval.index.build import IndexFacts
from winnow.retrieval.index.faiss_ann import FaissApproximateIndex, probe_approximate
from winnow.retrieval.index.faiss_flat import FaissFlatIndex, probe
from winnow.retrieval.index.gpu_index import ON_CPU, DeviceFlatIndex, Seat
from winnow.retrieval.index.planner import Recipe
from winnow.retrieval.records import ChunkNumbers
from winnow.retrieval.store.contract import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """An open generation."""

    manifest: Manifest
    index: PublishedIndex | DeviceFlatIndex
    seat: Seat = ON_CPU  # where the index was placed when it was opened
    fallback_from: str | None = None  # what should have been opened, and why it was not

    @property
    def name(self) -> str:
        return self.manifest.name


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationCheck:
    """The result of `verify` for one generation."""

    name: str
    current: bool
    manifest: Manifest | None
    fault: str | None  # None: everything is as in the manifest


def open_newest(folder: CollectionFolder, identity: EmbedderIdentity, store: Store) -> Generation | None:
    """Open the current generation, or the newest intact one before it; None if nothing was ever published.

    Raises `ModelMismatch` if it was built with another model, `GenerationCorrupt` if there are generations but none is
    intact, and `StoreCorrupt`.
    """
    wanted = current_name(folder)
    opened, faults = _newest_whole(folder, wanted, store)
    while opened is None and current_name(folder) != wanted:  # another process published, and removed what we tried
        wanted = current_name(folder)
        opened, faults = _newest_whole(folder, wanted, store)
    if opened is not None:
        _require_identity(opened.manifest, identity)
    elif faults:
        raise GenerationCorrupt(f"no generation can be opened ({'; '.join(faults)}); index the collection again")
    return opened


def _newest_whole(folder: CollectionFolder, wanted: str | None, store: Store) -> tuple[Generation | None, list[str]]:
    """Return the first generation that passes its checks, and the faults of those before it."""
    faults = [] if wanted or not names(folder) else ["the pointer to the current generation is damaged"]
    for name in names_to_try(folder, wanted):
        try:
            manifest, index = open_checked(folder.generations / name, store)
        except GenerationCorrupt as fault:
            faults.append(f"{name}: {fault.detail}")
            continue
        return Generation(manifest=manifest, index=index, fallback_from="; ".join(faults) or None), faults
    return None, faults


def verify(folder: CollectionFolder, store: Store | None = None) -> list[GenerationCheck]:
    """Check every generation, newest first, comparing every checksum and count; with a store, also its vectors."""
    current = current_name(folder)
    checks = []
    for name in names(folder):
        manifest, fault = check_generation(folder, name, store=store)
        checks.append(GenerationCheck(name=name, current=name == current, manifest=manifest, fault=fault))
    if current is not None and current not in {check.name for check in checks}:
        checks.insert(0, GenerationCheck(name=current, current=True, manifest=None, fault="its folder is missing"))
    return checks


def check_generation(
    folder: CollectionFolder, name: str, *, thorough: bool = True, store: Store | None = None
) -> tuple[Manifest | None, str | None]:
    """Return a generation's manifest, and its fault. Unless `thorough`, files are measured but not read.

    Vectors that it reads from the store are compared if the store is given.
    """
    path = folder.generations / name
    try:
        if thorough:
            return (check_files(path) if store is None else open_checked(path, store)[0]), None
        manifest = read_manifest(path)
        for file, facts in manifest.files.items():
            found = size_of(path / file)
            if found != facts.bytes:
                return manifest, f"{file} has {found} bytes, expected {facts.bytes}"
    except (GenerationCorrupt, StoreCorrupt) as corrupt:
        return None, corrupt.detail
    return manifest, None


def open_checked(path: Path, store: Store) -> tuple[Manifest, PublishedIndex]:
    """Open a generation. Raises what `check_files` raises, and `StoreCorrupt` if its vectors are damaged there."""
    manifest, numbers = _check_folder(path)
    if not manifest.is_in_store:
        return manifest, _read_index(path, manifest, numbers)
    index = read_index(path, manifest, numbers, store)
    probe(index)
    return manifest, index


def check_files(path: Path) -> Manifest:
    """Return the manifest. Raises `GenerationCorrupt` unless everything in the folder is as in it."""
    manifest, numbers = _check_folder(path)
    if not manifest.is_in_store:
        _read_index(path, manifest, numbers)
    return manifest


def _check_folder(path: Path) -> tuple[Manifest, ChunkNumbers]:
    manifest = read_manifest(path)
    if manifest.name != path.name.partition(".")[0]:
        raise GenerationCorrupt(f"its manifest belongs to {manifest.name}")
    require_files(path, manifest)
    numbers = read_numbers(path / NUMBERS_FILE)
    if len(numbers) != manifest.count:
        raise GenerationCorrupt(f"it has {len(numbers)} chunk numbers, but {manifest.count} vectors were published")
    return manifest, numbers


def _read_index(path: Path, manifest: Manifest, numbers: ChunkNumbers) -> PublishedIndex:
    """Read the generation's own vectors or codes."""
    with (path / VECTORS_FILE).open("rb") as source:
        index = _read_faiss(source, numbers, manifest.index)
    if index.dimension != manifest.embedder.dimension:
        raise GenerationCorrupt(f"vectors of {index.dimension} dimensions differ from what was published")
    return index


def _read_faiss(source: BinaryIO, numbers: ChunkNumbers, facts: IndexFacts) -> PublishedIndex:
    if facts.recipe is Recipe.EXACT:
        flat = FaissFlatIndex.read(source, numbers)
        probe(flat)
        return flat
    approximate = FaissApproximateIndex.read(source, numbers, facts.recipe, facts.parameters)
    probe_approximate(approximate)
    return approximate


def _require_identity(manifest: Manifest, identity: EmbedderIdentity) -> None:
    built = manifest.embedder
    if not identity.accepts(built):
        raise ModelMismatch(
            f"generation {manifest.name} was built with {built.name} ({built.revision[:12]}, {built.dimension} "
            f"dimensions, {built.prompt_format}); loaded is {identity.name} ({identity.revision[:12]}, "
            f"{identity.dimension} dimensions, {identity.prompt_format})"
        )


def numbers_in(folder: CollectionFolder, name: str) -> ChunkNumbers:
    """Return the chunk numbers of a generation; none if they are damaged."""
    path = folder.generations / name
    try:
        is_whole = facts_of_file(path / NUMBERS_FILE) == read_manifest(path).files[NUMBERS_FILE]
        return read_numbers(path / NUMBERS_FILE) if is_whole else np.empty(0, dtype=np.int64)
    except GenerationCorrupt:
        return np.empty(0, dtype=np.int64)


PublishedIndex: TypeAlias = FaissFlatIndex | FaissApproximateIndex
