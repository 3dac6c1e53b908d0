"""`winnow keys`, `tenants`, `grants` and `audit`: manage access in the catalog of a data folder.

These commands need no key, only write access to the data folder. The audit log calls them `command-line`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from winnow.api.cli.options import Json, TenantOption, open_data_folder, own_name, with_settings
from winnow.api.cli.terminal import Column, Terminal
from winnow.api.formatting import flat
from winnow.api.settings import Settings
from winnow.retrieval.catalog.keys import ALL_SCOPES, TENANT_SCOPES, KeyScope, KeyWish
from winnow.retrieval.limits import AUDIT_ENTRIES_MAX, KEY_DAYS_MAX
from winnow.retrieval.tenancy import COMMAND_LINE, DEFAULT_TENANT

if TYPE_CHECKING:
    from winnow.retrieval.catalog.audit import AuditEntry
    from winnow.retrieval.catalog.keys import IssuedKey
    from winnow.retrieval.catalog.tenants import Tenant
    from winnow.retrieval.records import JsonValue

TYPED_AGAIN: Final = frozenset({"id", "name", "collection"})  # columns
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00")  # as audit entries write moments
SHOWN_ONCE: Final = "Store the key now: winnow keeps only a hash and cannot show it again."

KeyId = Annotated[str, typer.Argument(metavar="ID", help="Id of the key; `winnow keys list` shows it.")]
TenantArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the tenant.")]
CollectionArgument = Annotated[str, typer.Argument(metavar="COLLECTION", help="Collection of --tenant.")]
ReaderArgument = Annotated[str, typer.Argument(metavar="READER", help="Tenant that may search the collection.")]
ScopeOption = Annotated[list[KeyScope], typer.Option("--scope", "-s", help="What the key may do; repeatable.")]
NoteOption = Annotated[str, typer.Option("--note", metavar="TEXT", help="What the key is for.")]
DaysOption = Annotated[
    float | None,
    typer.Option(
        "--expires-in-days", metavar="DAYS", max=KEY_DAYS_MAX, help="Days until the key expires; never by default."
    ),
]
InstructionOption = Annotated[
    str | None,
    typer.Option(
        "--instruction", metavar="TEXT|NAME", help="Applied where a request has none: a text, or NAME or NAME@VERSION."
    ),
]
CollectionOption = Annotated[
    str | None, typer.Option("--collection", metavar="NAME", help="Searched where a request names none.")
]

keys = typer.Typer(help="Create, list, rotate and revoke API keys.", no_args_is_help=True)
tenants = typer.Typer(help="Create, list, disable and enable tenants.", no_args_is_help=True)
grants = typer.Typer(help="Let other tenants search a collection, and revoke that.", no_args_is_help=True)


@keys.command("bootstrap")
@with_settings("data")
def bootstrap_key(*, settings: Settings, json: Json = False) -> None:
    """Create a key that may do everything: for the tenant default, and as operator of the deployment.

    Once a key exists, every request needs one, even from this machine.
    """
    terminal, disk = Terminal(json=json), open_data_folder(settings, create=True)
    wish = KeyWish(scopes=ALL_SCOPES, note="bootstrap")
    _show_issued(terminal, disk.catalog.keys.make(DEFAULT_TENANT, wish, by=COMMAND_LINE))


@keys.command("create")
@with_settings("data")
def create_key(
    *,
    scope: ScopeOption,
    tenant: TenantOption = DEFAULT_TENANT,
    note: NoteOption = "",
    expires_in_days: DaysOption = None,
    instruction: InstructionOption = None,
    collection: CollectionOption = None,
    settings: Settings,
    json: Json = False,
) -> None:
    """Create a key for a tenant. Standard output holds the key and nothing else."""
    terminal, disk = Terminal(json=json), open_data_folder(settings)
    from winnow.api.collections.new_keys import issue_key
    from winnow.api.fields import parsed
    from winnow.api.schemas.access import KeyBody

    sent = {"scopes": [each.value for each in scope], "note": note, "expires_in_days": expires_in_days}
    sent |= {"instruction": instruction, "collection": collection}
    wish = parsed(KeyBody, sent).wish()
    _show_issued(terminal, issue_key(disk, disk.catalog.tenant_named(tenant), wish, by=COMMAND_LINE))


@keys.command("list")
@with_settings("data")
def list_keys(*, tenant: TenantOption = DEFAULT_TENANT, settings: Settings, json: Json = False) -> None:
    """List the keys of a tenant, including revoked and expired ones."""
    terminal, disk = Terminal(json=json), open_data_folder(settings)
    from winnow.api.schemas.access import keys_response

    found, now = disk.catalog.keys.keys(disk.catalog.tenant_named(tenant)), datetime.now(UTC)
    if json:
        terminal.answer(keys_response(found, now))
        return
    _table(
        terminal,
        ["id", "scopes", "state", "created", "expires", "last used", "note"],
        [
            (
                each.id,
                " ".join(sorted(each.scopes)),
                each.standing(now).value,
                _day(each.created_at),
                _day(each.expires_at),
                _day(each.last_used_at),
                each.note,
            )
            for each in found
        ],
    )


@keys.command("rotate")
@with_settings("data")
def rotate_key(
    key_id: KeyId,
    *,
    tenant: TenantOption = DEFAULT_TENANT,
    overlap_seconds: Annotated[
        int, typer.Option("--overlap-seconds", metavar="N", min=0, help="Seconds for which the old key stays valid.")
    ] = 3_600,
    settings: Settings,
    json: Json = False,
) -> None:
    """Replace a key by a new one with the same scopes. The old key stays valid for --overlap-seconds."""
    terminal, disk = Terminal(json=json), open_data_folder(settings)
    from winnow.api.fields import parsed
    from winnow.api.schemas.access import RotateBody

    overlap = timedelta(seconds=parsed(RotateBody, {"overlap_seconds": overlap_seconds}).overlap_seconds)
    _show_issued(
        terminal,
        disk.catalog.keys.rotate(disk.catalog.tenant_named(tenant), key_id, overlap=overlap, by=COMMAND_LINE),
    )


@keys.command("revoke")
@with_settings("data")
def revoke_key(key_id: KeyId, *, tenant: TenantOption = DEFAULT_TENANT, settings: Settings, json: Json = False) -> None:
    """Revoke a key for good. Running services refuse it within a second."""
    terminal, disk = Terminal(json=json), open_data_folder(settings)
    from winnow.api.schemas.access import key_response

    revoked = disk.catalog.keys.revoke(disk.catalog.tenant_named(tenant), key_id, by=COMMAND_LINE)
    if json:
        terminal.answer(key_response(revoked, datetime.now(UTC)))
    else:
        terminal.say(f"{key_id} is revoked.")


@tenants.command("create")
@with_settings("data")
def create_tenant(name: TenantArgument, *, settings: Settings, json: Json = False) -> None:
    """Create a tenant with a first key that may do everything in this tenant."""
    terminal, disk = Terminal(json=json), open_data_folder(settings, create=True)
    from winnow.api.schemas.access import created_tenant_response

    made = disk.catalog.tenants.make(name, by=COMMAND_LINE)
    issued = disk.catalog.keys.make(made.name, KeyWish(scopes=TENANT_SCOPES, note="first key"), by=COMMAND_LINE)
    if json:
        terminal.answer(created_tenant_response(made, issued))
    else:
        _show_issued(terminal, issued)


@tenants.command("list")
@with_settings("data")
def list_tenants(*, settings: Settings, json: Json = False) -> None:
    """List the tenants of the deployment."""
    terminal, disk = Terminal(json=json), open_data_folder(settings)
    from winnow.api.schemas.access import tenants_response

    found = disk.catalog.tenants.tenants()
    if json:
        terminal.answer(tenants_response(found))
        return
    rows = [(each.name, _day(each.created_at), _day(each.disabled_at)) for each in found]
    _table(terminal, ["name", "created", "disabled"], rows)


@tenants.command("disable")
@with_settings("data")
def disable_tenant(name: TenantArgument, *, settings: Settings, json: Json = False) -> None:
    """Refuse all keys of a tenant and suspend its grants. Nothing is deleted."""
    terminal, disk = Terminal(json=json), open_data_folder(settings)
    _show_tenant(terminal, disk.catalog.tenants.disable(name, by=COMMAND_LINE))


@tenants.command("enable")
@with_settings("data")
def enable_tenant(name: TenantArgument, *, settings: Settings, json: Json = False) -> None:
    """Enable a disabled tenant again."""
    terminal, disk = Terminal(json=json), open_data_folder(settings)
    _show_tenant(terminal, disk.catalog.tenants.enable(name, by=COMMAND_LINE))


@grants.command("list")
@with_settings("data")
def list_grants(*, tenant: TenantOption = DEFAULT_TENANT, settings: Settings, json: Json = False) -> None:
    """List the grants that a tenant has given, and those that it has received."""
    terminal, disk = Terminal(json=json), open_data_folder(settings)
    from winnow.api.schemas.access import grants_response

    owner = disk.catalog.tenant_named(tenant)
    given, received = disk.catalog.grants.given(owner), disk.catalog.grants.received(owner)
    if json:
        terminal.answer(grants_response(given, received))
        return
    rows = [("given", each.collection, each.reader, _day(each.created_at)) for each in given]
    rows += [("received", f"{each.owner}/{each.collection}", owner, _day(each.created_at)) for each in received]
    _table(terminal, ["direction", "collection", "reader", "since"], rows)


@grants.command("give")
@with_settings("data")
def give_grant(
    collection: CollectionArgument,
    reader: ReaderArgument,
    *,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Let another tenant search a collection of --tenant. It may do nothing else with it."""
    terminal, disk = Terminal(json=json), open_data_folder(settings)
    from winnow.api.schemas.access import given_response

    owner, name = disk.catalog.tenant_named(tenant), disk.catalog.tenant_named(reader)
    grant = disk.catalog.grants.give(owner, collection, name, by=COMMAND_LINE)
    if json:
        terminal.answer(given_response(grant))
    else:
        terminal.say(f"{name} may search {owner}/{collection}.")


@grants.command("revoke")
@with_settings("data")
def revoke_grant(
    collection: CollectionArgument,
    reader: ReaderArgument,
    *,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Revoke a grant."""
    terminal, disk = Terminal(json=json), open_data_folder(settings)
    disk.catalog.grants.take_back(disk.catalog.tenant_named(tenant), collection, reader, by=COMMAND_LINE)
    if json:
        terminal.answer({"deleted": reader})
    else:
        terminal.say(f"{reader} may no longer search {tenant}/{collection}.")


@with_settings("data")
def audit(
    *,
    tenant: Annotated[
        str | None,
        typer.Option(
            "--tenant",
            "-t",
            metavar="TENANT",
            help="Show only entries of this tenant; all tenants by default.",
            callback=own_name,
        ),
    ] = None,
    limit: Annotated[
        int,
        typer.Option("--limit", metavar="N", min=1, max=AUDIT_ENTRIES_MAX, help="Maximum number of entries to show."),
    ] = 100,
    before: Annotated[
        int | None,
        typer.Option(
            "--before", metavar="NUMBER", min=1, help="Show only entries with a lower number, to page backwards."
        ),
    ] = None,
    settings: Settings,
    json: Json = False,
) -> None:
    """Show changes to keys, tenants, limits, grants, collections and instructions, newest first."""
    terminal, disk = Terminal(json=json), open_data_folder(settings)
    from winnow.api.schemas.access import audit_response

    owner = None if tenant is None else disk.catalog.tenant_named(tenant)
    entries = disk.catalog.audit.entries(tenant=owner, limit=limit, before=before)
    body = audit_response(entries, limit=limit)
    if json:
        terminal.answer(body)
        return
    if terminal.is_rich:
        _draw_entries(terminal, entries)
        return
    rows = [
        (
            str(each.number),
            f"{each.at:%Y-%m-%d %H:%M:%S}",
            each.actor,
            each.action,
            each.tenant,
            each.subject,
            "; ".join(_changes(each)),
        )
        for each in entries
    ]
    _table(terminal, ["number", "at (UTC)", "actor", "action", "tenant", "subject", "change"], rows)


def _show_issued(terminal: Terminal, issued: IssuedKey) -> None:
    if terminal.is_json:
        from winnow.api.schemas.access import issued_response

        terminal.answer(issued_response(issued))
        return
    key = issued.key
    terminal.say(f"Key {key.id} of tenant {key.tenant}, with the scopes {', '.join(sorted(key.scopes))}. {SHOWN_ONCE}")
    terminal.lines(issued.text)


def _show_tenant(terminal: Terminal, tenant: Tenant) -> None:
    if terminal.is_json:
        from winnow.api.schemas.access import tenant_response

        terminal.answer(tenant_response(tenant))
    else:
        terminal.say(f"{tenant.name} is {'disabled' if tenant.disabled_at else 'enabled'}.")


def _table(terminal: Terminal, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """The first column names the row."""
    columns = [Column(name=name, style="bold" if name == names[0] else "", whole=name in TYPED_AGAIN) for name in names]
    terminal.table(columns, rows)


def _day(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def _draw_entries(terminal: Terminal, entries: Sequence[AuditEntry]) -> None:
    """Fold seven columns into three, so that they fit into 80 characters without broken words."""
    terminal.table(
        [
            Column(name="at (UTC)\nnumber", whole=True),
            Column(name="action\nactor", whole=True),
            Column(name="subject\nchange"),
        ],
        [
            (
                f"{each.at:%Y-%m-%d %H:%M}\n{each.number}",
                f"{each.action}\n{each.actor}",
                "\n".join([_subject(each), *_changes(each)]),
            )
            for each in entries
        ],
    )


def _subject(entry: AuditEntry) -> str:
    """The subject with its tenant; a tenant names itself."""
    is_plain = entry.tenant == DEFAULT_TENANT or entry.action.startswith("tenant.")
    return flat(entry.subject if is_plain else f"{entry.tenant}/{entry.subject}")


def _changes(entry: AuditEntry) -> Sequence[str]:
    """Only fields that differ: `expires_at: – → 2027-01-01 12:00`."""
    old, new = entry.before or {}, entry.after or {}
    return [
        flat(f"{name}: {_value(old.get(name))} → {_value(new.get(name))}")
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]


def _value(value: JsonValue) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        return _day(datetime.fromisoformat(value))
    return "–" if value is None else str(value)
