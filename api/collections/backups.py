"""Takes and restores snapshots of collections: their location, credentials, and what the catalog adds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from winnow.api.collections.data_folder import DataFolder
from winnow.api.library.instructions import Instructions
from winnow.api.library.yaml_file import read_content, written_content
from winnow.retrieval.backup.manifest import InstructionText, SnapshotManifest
from winnow.retrieval.backup.place import FolderPlace, Place
from winnow.retrieval.backup.transfer import Watcher, find_manifest, restore_files, take_snapshot
from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.catalog.instructions import InstructionContent, Reference, State
from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import InstructionNotFound, InvalidRequest, ModelMismatch
from winnow.retrieval.files.durable import DISK, Syncer
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.files.s3_access import S3Access
from winnow.retrieval.index.planner import ANY_INDEX, IndexWish
from winnow.retrieval.tenancy import TenantName

S3: Final = "s3://"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """The result of a restore."""

    manifest: SnapshotManifest
    generation: str
    other_instruction: bool  # an instruction of its name is published here with another text, and was kept


def place_of(target: str, access: S3Access) -> Place:
    """Return a folder, or `s3://BUCKET/PATH`. Raises `InvalidRequest`, `SnapshotUnreachable`."""
    scheme, separator, rest = target.partition("://")
    if not separator:
        return FolderPlace(Path(target).expanduser())
    bucket, _, path = rest.partition("/")
    if f"{scheme}{separator}" != S3 or not bucket or any(mark in bucket for mark in "@?#:"):
        raise InvalidRequest("a snapshot goes to a folder or to s3://BUCKET/PATH; put credentials into AWS_ variables")
    if not path.strip("/"):
        raise InvalidRequest(f"{target} has no path in the bucket; write for example {S3}{bucket}/docs")
    from winnow.retrieval.backup.bucket import BucketPlace

    return BucketPlace(target, access)


def snapshot(disk: DataFolder, tenant: TenantName, name: str, place: Place, *, watcher: Watcher) -> SnapshotManifest:
    """Take a snapshot. Raises `CollectionNotFound`, `InvalidRequest`, and what `take_snapshot` raises."""
    disk.require_local(
        "no snapshot can be taken of a collection in a bucket; copy the bucket with the object store's own versioning "
        "or replication, and back up the catalog"
    )
    collection = disk.catalog.collections.get(tenant, name)
    if isinstance(place, FolderPlace) and place.root.resolve().is_relative_to(disk.layout.root.resolve()):
        raise InvalidRequest(f"{place.name} is inside the data folder and would be lost with it; use another location")
    return take_snapshot(
        collection,
        disk.layout.collection(tenant, name),
        disk.store(collection),
        place,
        instruction=_instruction_of(collection, disk.catalog.instructions),
        watcher=watcher,
    )


def restore(
    disk: DataFolder,
    tenant: TenantName,
    name: str,
    place: Place,
    *,
    embedder: EmbedderIdentity,
    replace: bool,
    watcher: Watcher,
    wish: IndexWish = ANY_INDEX,
    syncer: Syncer = DISK,
) -> Restored:
    """Raises `CollectionExists`, `ModelMismatch`, `CollectionBusy`, what `find_manifest` and `restore_files` raise."""
    disk.require_local(
        "a snapshot cannot be restored into a bucket; restore it into a data folder, or restore the bucket with the "
        "object store's own versioning or replication, and the catalog from its backup"
    )
    manifest = find_manifest(place)
    _require_same(manifest.embedder, embedder, place)
    generation = ""

    def build(beside: CollectionFolder) -> None:
        nonlocal generation
        generation = restore_files(manifest, place, beside, watcher=watcher, wish=wish, syncer=syncer)

    if not replace:
        disk.require_free(tenant, name)
    chosen, is_other = _publish_instruction(manifest.instruction, disk.catalog.instructions, tenant)
    restored = Collection(
        tenant=tenant,
        name=name,
        embedder=manifest.embedder,
        chunk_tokens=manifest.chunk_tokens,
        created_at=datetime.now(UTC),  # tells users of an earlier collection of this name that it is gone
        instruction=chosen,
        reranker=manifest.reranker,
        demote_query_echo=manifest.demote_query_echo,
        require_instruction=manifest.require_instruction,
        rerank_fields=manifest.rerank_fields,
        embed_fields=manifest.embed_fields,
        diversity=manifest.diversity,
    )
    disk.bring_in(restored, build, replace=replace, syncer=syncer)
    return Restored(manifest=manifest, generation=generation, other_instruction=is_other)


def _instruction_of(collection: Collection, instructions: Instructions) -> InstructionText | None:
    if collection.instruction is None:
        return None
    content = instructions.version(collection.tenant, Reference.of(collection.instruction)).content
    return InstructionText(
        name=collection.instruction,
        text=content.text,
        document=None if content == _of_text(content.text) else written_content(content),
    )


def _publish_instruction(
    wanted: InstructionText | None, instructions: Instructions, tenant: TenantName
) -> tuple[str | None, bool]:
    """Return the name of the instruction here, and whether it has other content.

    It is published if there is none of its name. An existing one is what this deployment means by the name, and stays.
    If a version was named, the version with the same content is used, whatever its number here.
    """
    if wanted is None:
        return None, False
    content = _of_text(wanted.text) if wanted.document is None else read_content(wanted.document.encode())
    reference = Reference.of(wanted.name)
    if reference.is_built_in:
        return _built_in(reference, content, instructions, tenant)
    try:
        newest = instructions.version(tenant, Reference(name=reference.name))
    except InstructionNotFound:
        newest = instructions.publish_stored(tenant, reference.name, content)
    if reference.version is None:
        return reference.name, newest.content != content
    for each in reversed(instructions.versions(tenant, reference.name)):
        if each.state is not State.DRAFT and each.content == content:
            return each.reference, False
    return instructions.publish_stored(tenant, reference.name, content).reference, False


def _built_in(
    reference: Reference, content: InstructionContent, instructions: Instructions, tenant: TenantName
) -> tuple[str | None, bool]:
    """Return a built-in instruction, which is named and never published; one of a later winnow is missing here."""
    try:
        return str(reference), instructions.version(tenant, reference).content != content
    except InstructionNotFound:
        return None, True


def _of_text(text: str) -> InstructionContent:
    """Return the content of a version that has only a text."""
    return InstructionContent(text=text, literal="{" in text or "}" in text)


def _require_same(built: EmbedderIdentity, mine: EmbedderIdentity, place: Place) -> None:
    if not mine.accepts(built):
        raise ModelMismatch(
            f"the snapshot at {place.name} was built with {_describe(built)}, but {_describe(mine)} is configured. "
            f"Restore it with --embed-model {built.name} --embed-dimension {built.dimension}; searches need the same"
        )


def _describe(identity: EmbedderIdentity) -> str:
    return f"{identity.name} ({identity.dimension} dimensions, {identity.revision[:19]})"
