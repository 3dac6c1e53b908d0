"""`winnow generations`: list, explain, roll back, build and clean up the generations of an index.

All commands work with or without a running service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from winnow.api.cli.options import (
    INDEXES,
    CollectionName,
    Json,
    TenantOption,
    open_data_folder,
    switch,
    with_settings,
)
from winnow.api.cli.terminal import Column, Terminal
from winnow.api.formatting import amount, counted
from winnow.api.settings import Settings
from winnow.retrieval.index.planner import megabytes
from winnow.retrieval.tenancy import DEFAULT_TENANT

if TYPE_CHECKING:
    from winnow.api.collections.data_folder import DataFolder
    from winnow.api.schemas.generations import GenerationResponse
    from winnow.retrieval.catalog.collections import Collection
    from winnow.retrieval.files.layout import CollectionFolder

generations = typer.Typer(
    help="List, explain, roll back, build and clean up the generations (published builds) of an index.",
    no_args_is_help=True,
)


@generations.command("list")
@with_settings("data")
def list_generations(
    *,
    collection: CollectionName,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    quick: Annotated[bool, switch("--quick", meaning="Compare file sizes only, not checksums.")] = False,
    json: Json = False,
) -> None:
    """List the generations of an index: which is current, which are damaged, which were rolled back.

    Searches always return the newest documents, whichever generation is current.
    """
    terminal = Terminal(json=json)
    _, found, folder = _open_collection(settings, collection, tenant)
    _show(terminal, found, folder, thorough=not quick)


@generations.command("rollback")
@with_settings("data")
def rollback(
    *,
    collection: CollectionName,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="GENERATION",
            help="Generation to go back to; by default the newest undamaged one before the current.",
        ),
    ] = None,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Go back to an older index. Documents are not rolled back: searches still return the newest ones.

    A running service follows within a second plus the time to read the index. The older index stays current until
    'winnow index' or 'winnow generations fold' publishes the next one; until then the service builds none by itself.
    """
    terminal = Terminal(json=json)
    disk, found, folder = _open_collection(settings, collection, tenant)
    from winnow.retrieval.generation.history import roll_back

    name = roll_back(folder, found.embedder, to=to, lease=disk.lease(found.tenant, found.name))
    if not json:
        terminal.say(f"{collection} now uses {name}.")
    _show(terminal, found, folder, thorough=False)


@generations.command("fold")
@with_settings("data", "generations_kept", *INDEXES)
def fold(
    *, collection: CollectionName, tenant: TenantOption = DEFAULT_TENANT, settings: Settings, json: Json = False
) -> None:
    """Build and publish the next generation from all documents. Needs no model; writes and searches continue."""
    terminal = Terminal(json=json)
    disk, found, folder = _open_collection(settings, collection, tenant)
    from winnow.api.collections.bucket.corpora import shared_of
    from winnow.api.collections.index_device import index_device, index_wish
    from winnow.retrieval.generation.history import fold as built

    wish = index_wish(settings, index_device(settings))
    store, lease = disk.store(found), disk.lease(found.tenant, found.name)
    with store.holding():
        snapshot, kept = store.snapshot(), settings.generations_kept
        manifest = built(
            folder,
            snapshot,
            found.embedder,
            wish=wish,
            kept=kept,
            made_at=found.created_at,
            lease=lease,
            shared=shared_of(disk.bucket, found, folder),
        )
    if not json:
        terminal.say(f"{manifest.name} holds {counted(manifest.count, 'chunk')} of {collection}.")
    _show(terminal, found, folder, thorough=False)


@generations.command("explain")
@with_settings("data", *INDEXES)
def explain(
    *, collection: CollectionName, tenant: TenantOption = DEFAULT_TENANT, settings: Settings, json: Json = False
) -> None:
    """Explain the index: its type, why it was chosen and its recall; and which index would be built now.

    Recall is the share of the 100 nearest chunks that the index finds. It was measured at build time, on queries that
    were not used for tuning. Builds nothing.
    """
    terminal = Terminal(json=json)
    disk, found, folder = _open_collection(settings, collection, tenant)
    from winnow.api.collections.index_device import index_device, index_wish
    from winnow.api.diagnostics.explain import explained, explained_said

    device, snapshot = index_device(settings), disk.store(found).snapshot()
    wish = index_wish(settings, device)
    body = explained_said(collection, explained(folder, snapshot, found.embedder.dimension, wish, device=device))
    if json:
        terminal.answer(body)
        return
    terminal.table([Column(name="", style="dim"), Column(name="")], _explanation(body))


@generations.command("clean")
@with_settings("data", "generations_kept")
def clean(
    *, collection: CollectionName, tenant: TenantOption = DEFAULT_TENANT, settings: Settings, json: Json = False
) -> None:
    """Remove old generations, old versions of the store, and files that killed processes left behind.

    Nothing is removed that a reader may still use: files stay for four minutes after they were current, and
    --generations-kept generations stay. Writes and builds clean up automatically. Run this command to free space now,
    or to erase deleted documents: two runs with four minutes between them leave no byte of those.
    """
    terminal = Terminal(json=json)
    disk, found, folder = _open_collection(settings, collection, tenant)
    from winnow.retrieval.catalog.sql.leases.writer_lease import BUSY_SECONDS_MAX
    from winnow.retrieval.generation.cleanup import clean as cleaned

    lease = disk.lease(found.tenant, found.name)
    gone = cleaned(folder, kept=settings.generations_kept, wait_seconds=BUSY_SECONDS_MAX, lease=lease)
    with lease.writing(folder, wait_seconds=BUSY_SECONDS_MAX):
        of_store = disk.store(found).clean_up()
    if json:
        body = {"collection": collection, "removed": list(gone.removed), "bytes": gone.bytes, "store_bytes": of_store}
        terminal.answer(body)
        return
    terminal.lines(*gone.removed)
    terminal.say(f"{amount(gone.bytes)} bytes of generations and {amount(of_store)} bytes of the store freed.")


def _open_collection(settings: Settings, name: str, tenant: str) -> tuple[DataFolder, Collection, CollectionFolder]:
    """Raises `SettingInvalid`, `TenantNotFound`, `CollectionNotFound`, and what `DataFolder.require_meant` raises."""

    disk = open_data_folder(settings)
    found = disk.catalog.collections.get(disk.catalog.tenant_named(tenant), name)
    folder = disk.layout.collection(found.tenant, found.name)
    disk.require_meant(found, folder)
    return disk, found, folder


def _show(terminal: Terminal, collection: Collection, folder: CollectionFolder, *, thorough: bool) -> None:
    from winnow.api.schemas.generations import generations_response
    from winnow.retrieval.generation.listing import listed
    from winnow.retrieval.generation.pointer import rolled_back

    body = generations_response(collection.name, listed(folder, thorough=thorough), rolled_back(folder))
    if terminal.is_json:
        terminal.answer(body)
        return
    terminal.table(
        [
            Column(name="generation", style="bold"),
            Column(name="chunks", right=True),
            Column(name="store version", right=True),
            Column(name="built"),
            Column(name="with"),
            Column(name="recipe"),
            Column(name="recall", right=True),
            Column(name="bytes", right=True),
            Column(name="state"),
        ],
        [
            (
                each["name"],
                "–" if each["chunks"] is None else amount(each["chunks"]),
                "–" if each["store_version"] is None else str(each["store_version"]),
                each["built_at"] or "–",
                each["built_with"] or "–",
                each["recipe"] or "–",
                "–" if each["recall"] is None else f"{each['recall']:.3f}",
                amount(each["bytes"]),
                _state(each),
            )
            for each in body["generations"]
        ],
    )


def _explanation(body: dict[str, Any]) -> list[tuple[str, str]]:
    """One row per fact."""
    current, plan, device = body["current"], body["next"], body["device"]
    lines = [("current", "no generation has been published")]
    if current:
        tuned = ", ".join(f"{name} {value}" for name, value in current["parameters"].items())
        lines = [
            ("current", f"{current['generation']}: {current['recipe']}, {counted(current['chunks'], 'chunk')}"),
            ("because", current["reason"]),
            ("recall", f"{current['recall']:.4f} of the 100 nearest; target {current['recall_target']}"),
            ("searched with", tuned or "no parameters"),
            ("searched on", _searched_on(current["searched_on"])),
        ]
    if plan:
        sizes = f"{plan['index_bytes'] / 1e6:,.1f} MB, {plan['building_bytes'] / 1e6:,.1f} MB while it is built"
        there = f", {plan['device_bytes'] / 1e6:,.0f} MB on {device['name']}" if device and plan["device_bytes"] else ""
        lines += [("next", f"{plan['recipe']}: {sizes}{there}"), ("because", plan["reason"])]
    else:
        lines.append(("next", body["refused"]))
    free = "unknown" if body["memory_bytes"] is None else f"{body['memory_bytes'] / 1e6:,.0f} MB"
    lines += [("memory free", free), ("write rate", f"{body['writes_per_second']:,.2f} chunks per second")]
    if device:
        unknown = device["free_bytes"] is None
        figures = (
            "memory unknown"
            if unknown
            else f"{megabytes(device['free_bytes'])} of {megabytes(device['total_bytes'])} free"
        )
        lines.append(("index device", f"{device['name']}: {device['fault'] or figures}"))
    return lines


def _searched_on(body: dict[str, Any]) -> str:
    return f"{body['device']}: {body['fault'] or body['reason']}"


def _state(body: GenerationResponse) -> str:
    place = "current" if body["current"] else "rolled back from" if body["rolled_back"] else "kept"
    return f"{place}, damaged: {body['fault']}" if body["fault"] else place
