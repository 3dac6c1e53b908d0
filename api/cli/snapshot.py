"""`winnow snapshot` and `winnow restore`: copy a collection to a folder or bucket, and back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from winnow.api.cli.options import (
    CollectionName,
    Json,
    OwnCollectionName,
    TenantOption,
    open_tenant,
    switch,
    with_settings,
)
from winnow.api.cli.terminal import Terminal
from winnow.api.formatting import amount, duration
from winnow.api.settings import Settings, s3_access
from winnow.retrieval.tenancy import DEFAULT_TENANT

if TYPE_CHECKING:
    from winnow.retrieval.backup.manifest import SnapshotManifest

Target = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="Folder, or s3://BUCKET/PATH on AWS (with AWS_ENDPOINT_URL on another S3-compatible server).",
    ),
]


@with_settings("data")
def snapshot(
    target: Target,
    *,
    collection: CollectionName,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Copy a collection to a folder or a bucket, with a checksum of every file. Writes continue meanwhile.

    The snapshot holds one version of the collection, whatever is written meanwhile. It is complete once its manifest
    exists; after an interruption, run the same command again. Credentials for a bucket come from the environment
    variables and files that AWS's own tools read.
    """
    terminal = Terminal(json=json)
    from winnow.api.cli.progress import CopyProgress
    from winnow.api.collections.backups import place_of
    from winnow.api.collections.backups import snapshot as taken

    began = time.monotonic()
    disk, owner = open_tenant(settings, tenant)
    place = place_of(target, s3_access())
    with CopyProgress(terminal) as watcher:
        manifest = taken(disk, owner, collection, place, watcher=watcher)
    seconds = time.monotonic() - began
    if json:
        terminal.answer(_summary_fields(manifest, target, seconds))
    else:
        terminal.say(f"{collection} → {place.name}: {_summary(manifest)} in {duration(seconds)}.", style="bold")


@with_settings("data", "embed_model", "embed_dimension", "rerank_model", "rerank_also")
def restore(
    target: Target,
    *,
    collection: OwnCollectionName,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    replace: Annotated[bool, switch("--replace", meaning="Replace an existing collection of this name.")] = False,
    json: Json = False,
) -> None:
    """Restore a collection from a snapshot, under its old name or another.

    Verifies every checksum before the collection becomes visible, and rebuilds the index. An existing collection is
    kept unless you pass --replace; even then it stays until the new one is complete. After an interruption, run the
    same command again: it continues where it stopped.
    """
    terminal = Terminal(json=json)
    from winnow.api.cli.progress import CopyProgress
    from winnow.api.collections.backups import place_of
    from winnow.api.collections.backups import restore as restored
    from winnow.api.collections.index_device import index_device, index_wish
    from winnow.api.model_loading import embedder_identity
    from winnow.api.search.rerankers import settings_by_name

    began = time.monotonic()
    place = place_of(target, s3_access())
    embedder = embedder_identity(settings)
    disk, owner = open_tenant(settings, tenant, create=True)
    with CopyProgress(terminal) as watcher:
        done = restored(
            disk,
            owner,
            collection,
            place,
            embedder=embedder,
            replace=replace,
            watcher=watcher,
            wish=index_wish(settings, index_device(settings)),
        )
    manifest, seconds = done.manifest, time.monotonic() - began
    if done.other_instruction and manifest.instruction:
        terminal.warn(f"The instruction {manifest.instruction.name} has a different text here than in the snapshot.")
    if manifest.reranker is not None and manifest.reranker not in settings_by_name(settings):
        terminal.warn(
            f"The reranker {manifest.reranker} is not configured (--rerank-also): searches keep recall's order."
        )
    if json:
        terminal.answer(
            _summary_fields(manifest, target, seconds) | {"collection": collection, "generation": done.generation}
        )
    else:
        terminal.say(f"{place.name} → {collection}: {_summary(manifest)} in {duration(seconds)}.", style="bold")


def _summary_fields(manifest: SnapshotManifest, target: str, seconds: float) -> dict[str, Any]:
    return {
        "target": target,
        "collection": manifest.collection,
        "taken_at": manifest.taken_at,
        "store_version": manifest.store_version,
        "documents": manifest.documents,
        "chunks": manifest.chunks,
        "files": len(manifest.files),
        "bytes": manifest.bytes,
        "seconds": round(seconds, 3),
    }


def _summary(manifest: SnapshotManifest) -> str:
    version, files = f"version {manifest.store_version}", amount(len(manifest.files))
    return (
        f"{amount(manifest.documents)} documents, {amount(manifest.chunks)} chunks of {version}, "
        f"{files} files, {manifest.bytes / 1e6:,.1f} MB"
    )
