"""Which index answers, and is it whole? Published generations of a collection's index.

    generations/g000007/
      vectors.faiss     the vectors, as FAISS writes them
      numbers.i64       their chunk numbers, ascending, eight little-endian bytes each
      manifest.json     what it was built from and with, and size and SHA-256 of the two files above
      manifest.sha256   of the manifest
    current             the name of the generation to open

Rule 1: a generation never changes once its folder has its name. Rule 2: the pointer moves last, to something that was
read back and found right. Rule 3: whatever fails its checks is passed over, visibly, for the one before; with none
left the collection is served from the store, because a generation is only a cache of it. Which of them are kept, and
how one goes back to an older one, is told in retrieval/generation/history.py.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias

import numpy as np

from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import CollectionBusy, GenerationCorrupt, ModelMismatch
from winnow.retrieval.files.durable import DISK, FileFacts, Syncer, facts_of, make_folder, write_errors, write_file
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.files.locks import pointing
from winnow.retrieval.files.made import require_made
from winnow.retrieval.generation.pointer import NAME, begin, current_name, ordinal, point
from winnow.retrieval.index.build import IndexFacts, built_index, planned
from winnow.retrieval.index.faiss_ann import FaissApproximateIndex, probe_approximate
from winnow.retrieval.index.faiss_flat import FAISS_VERSION, FaissFlatIndex, probe
from winnow.retrieval.index.gpu_index import ON_CPU, DeviceFlatIndex, Seat
from winnow.retrieval.index.planner import ANY_INDEX, IndexWish, Plan, Recipe
from winnow.retrieval.records import ChunkNumbers
from winnow.retrieval.store.contract import StoreSnapshot

FORMAT: Final = 2
FORMAT_WITHOUT_RECIPE: Final = 1  # every index was exact, and its manifest did not say so
METRIC: Final = "inner product"  # of unit vectors, which is their cosine

_VECTORS: Final = "vectors.faiss"
_NUMBERS: Final = "numbers.i64"
_MANIFEST: Final = "manifest.json"
_MANIFEST_SUM: Final = "manifest.sha256"
_NUMBER_BYTES: Final = 8
FILES: Final = frozenset({_VECTORS, _NUMBERS, _MANIFEST, _MANIFEST_SUM})
_BLOCK_BYTES: Final = 1 << 20  # bytes read at a time while hashing
_RATE_SECONDS_MIN: Final = 3_600.0

PublishedIndex: TypeAlias = FaissFlatIndex | FaissApproximateIndex


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """An open generation."""

    manifest: Manifest
    index: PublishedIndex | DeviceFlatIndex
    seat: Seat = ON_CPU  # where the index was put when it was opened
    fallback_from: str | None = None  # what should have been opened, and why it was not

    @property
    def name(self) -> str:
        return self.manifest.name


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationCheck:
    """What `verify` found in one generation."""

    name: str
    current: bool
    manifest: Manifest | None
    fault: str | None  # None: everything is as the manifest says


def publish(
    folder: CollectionFolder,
    snapshot: StoreSnapshot,
    identity: EmbedderIdentity,
    *,
    wish: IndexWish = ANY_INDEX,
    made_at: datetime | None = None,
    syncer: Syncer = DISK,
) -> Manifest:
    """Builds an index of the snapshot and makes it the current generation. One caller at a time builds.

    Writers go on meanwhile: what is newer than the snapshot is found beside its generation, and what was removed is
    passed over there. Killed at any moment it leaves the previous generation current, and at worst a folder that the
    next call removes. Raises `CollectionBusy` where the pointer was moved meanwhile: whoever did that meant it; or
    where another collection lies there than the one that was made at `made_at`; and `MemoryTooSmall`, before anything
    is built.
    """
    plan = planned(snapshot, identity.dimension, wish, writes_per_second=writes_per_second(folder, snapshot))
    make_folder(folder.generations, syncer=syncer)
    _remove_unfinished(folder)
    before = current_name(folder)
    if before is None and not names(folder):
        begin(folder, syncer=syncer)
    name = f"g{max(map(ordinal, names(folder)), default=0) + 1:06d}"
    beside = folder.generations / f"{name}.tmp"
    make_folder(beside, syncer=syncer)
    count, files, facts = _write_index(beside, snapshot, plan, wish)
    manifest = Manifest(
        name=name,
        format=FORMAT,
        store_version=snapshot.version,
        embedder=identity,
        metric=METRIC,
        count=count,
        built_at=datetime.now(UTC).isoformat(timespec="seconds"),
        built_with=f"faiss {FAISS_VERSION}",
        files=files,
        index=facts,
    )
    _write_manifest(beside, manifest, syncer=syncer)
    _read_back(beside, manifest)
    for file in files:
        syncer.sync(beside / file)
    syncer.sync(beside)
    with write_errors(folder.generations):
        beside.rename(folder.generations / name)
    syncer.sync(folder.generations)
    with pointing(folder):
        require_made(folder, made_at)
        if current_name(folder) != before or not (folder.generations / name).is_dir():
            raise CollectionBusy(f"{folder.path.name} was rolled back or removed while {name} was built")
        point(folder, name, syncer=syncer)
    return manifest


def open_newest(folder: CollectionFolder, identity: EmbedderIdentity) -> Generation | None:
    """The current generation, or the newest one before it that is whole; None where nothing was ever published.

    Raises `ModelMismatch` if it was built with another model, and `GenerationCorrupt` if there are generations and
    none is whole.
    """
    wanted = current_name(folder)
    opened, faults = _newest_whole(folder, wanted)
    while opened is None and current_name(folder) != wanted:  # another process published and removed what we tried
        wanted = current_name(folder)
        opened, faults = _newest_whole(folder, wanted)
    if opened is not None:
        _require_identity(opened.manifest, identity)
    elif faults:
        raise GenerationCorrupt(f"no generation can be opened ({'; '.join(faults)}); index the collection again")
    return opened


def _newest_whole(folder: CollectionFolder, wanted: str | None) -> tuple[Generation | None, list[str]]:
    """The first generation that passes its checks, and what was wrong with those before it."""
    faults = [] if wanted or not names(folder) else ["the pointer to the current generation is damaged"]
    for name in _names_to_try(folder, wanted):
        try:
            manifest, index = _open(folder.generations / name)
        except GenerationCorrupt as fault:
            faults.append(f"{name}: {fault.detail}")
            continue
        return Generation(manifest=manifest, index=index, fallback_from="; ".join(faults) or None), faults
    return None, faults


def verify(folder: CollectionFolder) -> list[GenerationCheck]:
    """Every generation that is there, newest first, with every checksum and count compared."""
    current = current_name(folder)
    checks = []
    for name in names(folder):
        manifest, fault = examined(folder, name)
        checks.append(GenerationCheck(name=name, current=name == current, manifest=manifest, fault=fault))
    if current is not None and current not in {check.name for check in checks}:
        checks.insert(0, GenerationCheck(name=current, current=True, manifest=None, fault="its folder is missing"))
    return checks


def examined(folder: CollectionFolder, name: str, *, thorough: bool = True) -> tuple[Manifest | None, str | None]:
    """What a generation says it is, and what is wrong with it. Unless `thorough`, files are counted but not read."""
    path = folder.generations / name
    try:
        if thorough:
            return _open(path)[0], None
        manifest = _read_manifest(path)
        for file, facts in manifest.files.items():
            found = _size(path / file)
            if found != facts.bytes:
                return manifest, f"{file} has {found} bytes, expected {facts.bytes}"
    except GenerationCorrupt as corrupt:
        return None, corrupt.detail
    return manifest, None


def _open(path: Path) -> tuple[Manifest, PublishedIndex]:
    """Raises `GenerationCorrupt` unless everything in the folder is what its manifest says."""
    manifest = _read_manifest(path)
    if manifest.name != path.name.removesuffix(".tmp"):
        raise GenerationCorrupt(f"its manifest is that of {manifest.name}")
    for file, facts in manifest.files.items():
        found = _facts(path / file)
        if found != facts:
            raise GenerationCorrupt(f"{file} is not what was written ({found.bytes} bytes, expected {facts.bytes})")
    numbers = _read_numbers(path / _NUMBERS)
    with (path / _VECTORS).open("rb") as source:
        index = _read_index(source, numbers, manifest.index)
    if len(numbers) != manifest.count or index.dimension != manifest.embedder.dimension:
        raise GenerationCorrupt(f"{len(numbers)} vectors of {index.dimension} dimensions are not what was published")
    return manifest, index


def _read_index(source: BinaryIO, numbers: ChunkNumbers, facts: IndexFacts) -> PublishedIndex:
    if facts.recipe is Recipe.EXACT:
        flat = FaissFlatIndex.read(source, numbers)
        probe(flat)
        return flat
    approximate = FaissApproximateIndex.read(source, numbers, facts.recipe, facts.parameters)
    probe_approximate(approximate)
    return approximate


def writes_per_second(folder: CollectionFolder, snapshot: StoreSnapshot) -> float:
    """New chunks since the current generation was built; 0 where there is none to count from.

    Over an hour at least: a corpus that is loaded at one go is written fast once, not all the time.
    """
    name = current_name(folder)
    if name is None:
        return 0.0
    numbers = folder.generations / name / _NUMBERS
    try:
        manifest = _read_manifest(folder.generations / name)
        newest = np.fromfile(numbers, dtype="<i8", offset=max(0, numbers.stat().st_size - _NUMBER_BYTES))
    except (GenerationCorrupt, OSError):
        return 0.0
    if not len(newest):
        return 0.0
    seconds = (datetime.now(UTC) - datetime.fromisoformat(manifest.built_at)).total_seconds()
    return snapshot.count(after=int(newest[0])) / max(_RATE_SECONDS_MIN, seconds)


def _read_back(path: Path, manifest: Manifest) -> None:
    """What was written is what is there: a short write that nobody reported is found now and not at the next start."""
    opened, _ = _open(path)
    if opened != manifest:
        raise GenerationCorrupt(f"{path.name} reads back as something else")


def _read_manifest(path: Path) -> Manifest:
    try:
        content = (path / _MANIFEST).read_bytes()
        expected = (path / _MANIFEST_SUM).read_bytes()
    except OSError as error:
        raise GenerationCorrupt(f"its manifest cannot be read: {error}") from error
    if _hex(content) != expected:
        raise GenerationCorrupt("its manifest is not what was written")
    fields: dict[str, Any] = json.loads(content)
    if fields.get("format") == FORMAT_WITHOUT_RECIPE:
        said = "it was built before there were others"
        fields["index"] = {"recipe": "exact", "reason": said, "recall_target": 1.0, "recall": 1.0}
    elif fields.get("format") != FORMAT:
        raise GenerationCorrupt(f"format {fields.get('format')} is not known to this version of winnow")
    fields["embedder"] = EmbedderIdentity(**fields["embedder"])
    fields["files"] = {file: FileFacts(**facts) for file, facts in fields["files"].items()}
    fields["index"] = IndexFacts(**{**fields["index"], "recipe": Recipe(fields["index"]["recipe"])})
    return Manifest(**fields)


def _write_manifest(path: Path, manifest: Manifest, *, syncer: Syncer) -> None:
    content = json.dumps(asdict(manifest), indent=2, ensure_ascii=False).encode("utf-8")
    write_file(path / _MANIFEST, content, syncer=syncer)
    write_file(path / _MANIFEST_SUM, _hex(content), syncer=syncer)


def _hex(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode("ascii")


def _write_index(
    path: Path, snapshot: StoreSnapshot, plan: Plan, wish: IndexWish
) -> tuple[int, dict[str, FileFacts], IndexFacts]:
    """How many vectors, their files, and what they were built by. The index is out of memory when this returns."""
    index, facts = built_index(snapshot, plan, wish)
    numbers = index.numbers.astype("<i8").tobytes()
    files = {
        _VECTORS: _write_hashed(path / _VECTORS, index.write),
        _NUMBERS: _write_hashed(path / _NUMBERS, lambda sink: sink(numbers)),
    }
    return len(index.numbers), files, facts


def _write_hashed(path: Path, write: Callable[[Callable[[bytes], object]], object]) -> FileFacts:
    """What `write` puts into the sink goes into the file; the facts are of what was to be written."""
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


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise GenerationCorrupt(f"{path.name} cannot be read: {error.strerror}") from error


def _facts(path: Path) -> FileFacts:
    try:
        return facts_of(path)
    except OSError as error:
        raise GenerationCorrupt(f"{path.name} cannot be read: {error.strerror}") from error


def _read_numbers(path: Path) -> ChunkNumbers:
    numbers = np.fromfile(path, dtype="<i8").astype(np.int64)
    if not bool((np.diff(numbers) > 0).all()):
        raise GenerationCorrupt("its chunk numbers do not ascend")
    return numbers


def _require_identity(manifest: Manifest, identity: EmbedderIdentity) -> None:
    built = manifest.embedder
    if built != identity:
        raise ModelMismatch(
            f"generation {manifest.name} was built with {built.name} ({built.revision[:12]}, {built.dimension} "
            f"dimensions, {built.prompt_format}); loaded is {identity.name} ({identity.revision[:12]}, "
            f"{identity.dimension} dimensions, {identity.prompt_format})"
        )


def numbers_in(folder: CollectionFolder, name: str) -> ChunkNumbers:
    """The chunk numbers of a generation; none where they are damaged."""
    path = folder.generations / name
    try:
        is_whole = _facts(path / _NUMBERS) == _read_manifest(path).files[_NUMBERS]
        return _read_numbers(path / _NUMBERS) if is_whole else np.empty(0, dtype=np.int64)
    except GenerationCorrupt:
        return np.empty(0, dtype=np.int64)


def names(folder: CollectionFolder) -> list[str]:
    """Generations that have their final name, newest first."""
    if not folder.generations.is_dir():
        return []
    found = [path.name for path in folder.generations.iterdir() if NAME.fullmatch(path.name)]
    return sorted(found, key=ordinal, reverse=True)


def _names_to_try(folder: CollectionFolder, wanted: str | None) -> list[str]:
    """The current one, then those before it. One that is newer than the pointer was never acknowledged."""
    older = [name for name in names(folder) if wanted is None or ordinal(name) < ordinal(wanted)]
    return older if wanted is None else [wanted, *older]


def _remove_unfinished(folder: CollectionFolder) -> None:
    """Folders that a killed `publish` left behind."""
    with write_errors(folder.generations):
        for path in folder.generations.glob("g*.tmp"):
            shutil.rmtree(path)
