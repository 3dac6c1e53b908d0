"""`winnow snapshot` and `winnow restore`: a collection goes out to a folder or a bucket, and comes back."""

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
        help="A folder, or s3://BUCKET/PATH on AWS or, with AWS_ENDPOINT_URL, on any S3-compatible server.",
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
    """Copy a collection to a folder or a bucket, with a checksum of every file. Writers go on meanwhile.

    What is copied is one version of the corpus, whatever is written in the meantime. A snapshot is finished once its
    manifest is there; one that was interrupted is taken again by the same command. Keys of a bucket come from the
    variables that AWS's own tools read, or from their files, and from nowhere else.
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
        terminal.answer(_said(manifest, target, seconds))
    else:
        terminal.say(f"{collection} → {place.name}: {_summary(manifest)} in {duration(seconds)}.", style="bold")


@with_settings("data", "embed_model", "embed_dimension", "rerank_model", "rerank_also")
def restore(
    target: Target,
    *,
    collection: OwnCollectionName,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    replace: Annotated[bool, switch("--replace", meaning="Take the place of a collection of this name.")] = False,
    json: Json = False,
) -> None:
    """Bring a collection back from a snapshot, under its old name or another.

    Every checksum is compared before anything can be seen of it, and the index is built anew. A collection that is
    there is left alone without --replace, and with it until the new one is whole. Interrupted, the same command goes
    on from there.
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
        terminal.warn(f"The instruction {manifest.instruction.name} has another text here than in the snapshot.")
    if manifest.reranker is not None and manifest.reranker not in settings_by_name(settings):
        terminal.warn(f"Its reranker {manifest.reranker} is not configured here: its searches keep recall's order.")
    if json:
        terminal.answer(_said(manifest, target, seconds) | {"collection": collection, "generation": done.generation})
    else:
        terminal.say(f"{place.name} → {collection}: {_summary(manifest)} in {duration(seconds)}.", style="bold")


def _said(manifest: SnapshotManifest, target: str, seconds: float) -> dict[str, Any]:
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
