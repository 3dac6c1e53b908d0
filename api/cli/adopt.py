"""`winnow collections adopt`: takes collections that lie in a data folder into its catalog."""

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
        bool, switch("--all", meaning="All folders of the tenant that the catalog does not know.")
    ] = False,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    yes: Annotated[bool, switch("--yes", "-y", meaning="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Take collections that lie in a data folder into its catalog. The way back after a lost catalog.

    Documents and indexes stay as they are. A data folder and a catalog that do not belong together are joined first,
    after a question: the catalog that the folder had before is refused from then on. What only that catalog knew is not
    in the folder: tenants, keys, grants, instructions, limits, and which of them a collection had chosen.

    With a collection that an earlier winnow made, --chunk-tokens and --embed-model say what it was made with.
    """
    terminal = Terminal(json=json)
    if bool(named) == every:
        raise InvalidRequest("name collections, or take --all")
    _join(settings.data, settings.catalog_url, named=named or [], tenant=tenant, yes=yes)
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
            f"Folders of the tenant {other} are left: `winnow tenants create {other}` where it is missing, then "
            f"`winnow collections adopt --all --tenant {other}`."
        )
    terminal.say(f"The catalog knows {counted(len(adopted), 'more collection')}.", style="bold")


def _join(root: Path, catalog_url: str | None, *, named: list[str], tenant: str, yes: bool) -> None:
    """Asks first where the two do not belong together. A name that is misspelt joins nothing."""
    from winnow.api.collections.pairing import join, mismatch
    from winnow.retrieval.files.layout import Layout

    layout = Layout(root)
    if not root.is_dir():
        raise SettingInvalid(f"--data {root}: there is no such folder")
    for name in named:
        if not (layout.tenants / tenant / name).is_dir():
            raise CollectionNotFound(f"{name}; there is no folder {layout.tenants / tenant / name}")
    reason = mismatch(layout, catalog_url)
    if reason is None:
        return
    if not yes:
        typer.confirm(f"{reason}. Join the two?", abort=True, err=True)
    join(layout, catalog_url)
