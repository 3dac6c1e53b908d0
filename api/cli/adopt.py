"""`winnow collections adopt`: register collections of a data folder in its catalog."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from winnow.api.cli.options import (
    Json,
    TenantOption,
    open_tenant,
    switch,
    with_settings,
)
from winnow.api.cli.terminal import Column, Terminal
from winnow.api.formatting import amount, counted
from winnow.api.settings import Settings
from winnow.retrieval.errors import CollectionNotFound, InvalidRequest, SettingInvalid
from winnow.retrieval.tenancy import DEFAULT_TENANT


@with_settings("data", "chunk_tokens", "embed_model", "embed_dimension")
def adopt_collections(
    named: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Collections owner folders lie there.")
    ] = None,
    *,
    every: Annotated[
        bool, switch("--all", meaning="Register all of the tenant's collections that the catalog lacks.")
    ] = False,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    yes: Annotated[bool, switch("--yes", "-y", meaning="Do not ask for confirmation.")] = False,
    json: Json = False,
) -> None:
    """Register collections that exist in the data folder but not in the catalog, such as after losing the catalog.

    Documents and indexes stay as they are. If the catalog belongs to another data folder, the command asks, then joins
    the two; the folder's earlier catalog is refused from then on. Tenants, keys, grants, instructions, limits and
    the instruction that a collection used are in the catalog only, so they cannot be recovered from the data folder.

    For a collection that an earlier winnow created, pass the --chunk-tokens and --embed-model that it was created with.
    """
    terminal = Terminal(json=json)
    if bool(named) == every:
        raise InvalidRequest("give names of collections or --all, not both")
    if settings.bucket is not None:
        raise InvalidRequest("collections in a bucket cannot be adopted; restore a backup of the catalog instead")
    _join(settings.folder, settings.catalog_url, named=named or [], tenant=tenant, yes=yes)
    from winnow.api.collections.adoption import Presumed, adopt, adoptable
    from winnow.api.collections.unregistered import strangers
    from winnow.api.model_loading import embedder_identity

    disk, owner = open_tenant(settings, tenant, create=True)
    presumed = Presumed(embedder=lambda: embedder_identity(settings), chunk_tokens=settings.chunk_tokens)
    names = adoptable(disk, owner) if every else named or []
    adopted = [adopt(disk, owner, name, presumed=presumed) for name in names]
    left = sorted({each.tenant for each in strangers(disk) if each.is_unknown and each.tenant != owner})
    if json:
        rows = [{"name": a.collection.name, "documents": a.documents, "chunks": a.chunks} for a in adopted]
        terminal.answer({"adopted": rows, "other_tenants": left})
        return
    terminal.table(
        [Column(name="adopted", style="bold"), Column(name="documents", right=True), Column(name="chunks", right=True)],
        [(each.collection.name, amount(each.documents), amount(each.chunks)) for each in adopted],
    )
    for other in left:
        terminal.warn(
            f"Collections of the tenant {other} remain. If the tenant is missing, run `winnow tenants create {other}`; "
            f"then run `winnow collections adopt --all --tenant {other}`."
        )
    terminal.say(f"Registered {counted(len(adopted), 'collection')} in the catalog.", style="bold")


def _join(root: Path, catalog_url: str | None, *, named: list[str], tenant: str, yes: bool) -> None:
    """Join folder and catalog after a question, unless they belong together. A misspelt name joins nothing."""
    from winnow.api.collections.pairing import join, mismatch
    from winnow.retrieval.files.layout import Layout

    layout = Layout(root)
    if not root.is_dir():
        raise SettingInvalid(f"--data {root}: the folder does not exist")
    for name in named:
        if not (layout.tenants / tenant / name).is_dir():
            raise CollectionNotFound(f"{name}; there is no folder {layout.tenants / tenant / name}")
    reason = mismatch(layout, catalog_url)
    if reason is None:
        return
    if not yes:
        typer.confirm(f"{reason}. Join them?", abort=True, err=True)
    join(layout, catalog_url)
