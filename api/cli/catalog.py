"""`winnow catalog`: where is the catalog, which schema has its database, and how does it get another of either?"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from winnow.api.cli.options import (
    Json,
    switch,
    with_settings,
)
from winnow.api.cli.standard_streams import standard_input_line
from winnow.api.cli.terminal import Column, Terminal
from winnow.api.formatting import amount, duration
from winnow.api.setting_values import database_url
from winnow.api.settings import Settings
from winnow.retrieval.errors import SettingInvalid

if TYPE_CHECKING:
    from winnow.retrieval.catalog.sql.database import SqlDatabase

catalog = typer.Typer(
    help="Show, upgrade and downgrade the schema of the catalog's database; copy it into another.", no_args_is_help=True
)


@catalog.command("show")
@with_settings("data")
def show_catalog(*, settings: Settings, json: Json = False) -> None:
    """Show where the catalog is, which schema it has, and which is the newest. Changes nothing."""
    _say(Terminal(json=json), _database(settings), json=json)


@catalog.command("upgrade")
@with_settings("data")
def upgrade_catalog(*, settings: Settings, json: Json = False) -> None:
    """Upgrade the schema to the newest. Every command that opens the catalog does so by itself."""
    database = _database(settings)
    database.upgrade()
    _say(Terminal(json=json), database, json=json)


@catalog.command("downgrade")
@with_settings("data")
def downgrade_catalog(
    revision: Annotated[str, typer.Argument(metavar="REVISION", help="The schema to go back to, such as 0001.")],
    *,
    settings: Settings,
    yes: Annotated[bool, switch("--yes", "-y", meaning="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Go back to the schema of an earlier winnow. Stop all services first; what it cannot hold is lost, for good."""
    from winnow.api.collections.pairing import part
    from winnow.retrieval.files.layout import Layout

    database = _database(settings)
    if not yes:
        typer.confirm(f"Take {database.place} back to schema {revision}?", abort=True, err=True)
    database.downgrade(revision)
    part(Layout(settings.data), database)
    _say(Terminal(json=json), database, json=json)


@catalog.command("accept")
@with_settings("data")
def accept_catalog(*, settings: Settings, json: Json = False) -> None:
    """Take all rows as they are, after `winnow verify` named some and you found them right. Lists them again."""
    terminal, database = Terminal(json=json), _database(settings)
    database.upgrade()
    accepted = database.faults()
    database.accept()
    if json:
        terminal.answer({"database": database.place, "accepted": accepted, "left": database.faults()})
        return
    for each in accepted:
        terminal.say(f"accepted: {each}")
    for each in database.faults():
        terminal.warn(f"still wrong: {each}")
    terminal.say(f"The rows of {database.place} are checked from now on as they are.", style="bold")


@catalog.command("copy")
@with_settings("data")
def copy_catalog(
    *,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="URL|DIR",
            help="An empty database of PostgreSQL, such as postgresql://winnow@db/winnow, or the data folder that gets "
            "the catalog as a file. - reads it from standard input: an option with a password shows in process lists.",
        ),
    ],
    settings: Settings,
    json: Json = False,
) -> None:
    """Copy the catalog into another database, all of it or nothing. Stop all services first.

    Tenants, keys, grants, collections, instructions, shadows, limits, usage and the audit log are copied row by row,
    read back and compared. What services write meanwhile is not in the copy. The catalog that is there stays as it is.
    """
    terminal = Terminal(json=json)
    source, where = _database(settings), _where(terminal, to)
    from winnow.api.cli.progress import RowProgress
    from winnow.api.collections.pairing import lend_mark
    from winnow.retrieval.catalog.sql.copy import copy_catalog as copied
    from winnow.retrieval.catalog.sql.database import SqlDatabase
    from winnow.retrieval.catalog.sql.migrate import NEWEST
    from winnow.retrieval.files.layout import Layout

    began, target = time.monotonic(), SqlDatabase.at(where)
    with RowProgress(terminal, "copying the catalog") as watcher:
        tables = copied(source, target, watcher=watcher)
    if isinstance(where, Path):
        lend_mark(Layout(where.parent), target)
    seconds, rows = time.monotonic() - began, sum(each.rows for each in tables)
    if json:
        body = {"from": source.place, "to": target.place, "revision": NEWEST, "rows": rows}
        terminal.answer(body | {"tables": [asdict(each) for each in tables], "seconds": round(seconds, 3)})
        return
    terminal.table(
        [Column(name="table", style="bold"), Column(name="rows", right=True)],
        [(each.name, amount(each.rows)) for each in tables],
    )
    terminal.say(
        f"{source.place} → {target.place}: {amount(rows)} rows, compared, in {duration(seconds)}.", style="bold"
    )
    terminal.say(f"{_next(where)} The catalog in {source.place} is as it was, and is not used from then on.")


def _where(terminal: Terminal, said: str) -> Path | str:
    """Raises `SettingInvalid`, without what was said: it may hold a password."""
    from winnow.retrieval.files.layout import Layout

    where = standard_input_line() if said == "-" else said
    if where and "://" not in where and Path(where).expanduser().is_dir():
        return Layout(Path(where).expanduser()).catalog
    try:
        url = database_url(where)
    except ValueError:
        raise SettingInvalid(
            "--to is neither like postgresql://USER@HOST/DATABASE nor a folder that is there"
        ) from None
    if said != "-" and urlsplit(url).password:
        terminal.warn("Process lists show the password in --to. With --to - the URL is read from standard input.")
    return url


def _next(where: Path | str) -> str:
    """What whoever has copied it does now."""
    if isinstance(where, Path):
        return f"Take WINNOW_CATALOG_URL away, and start the services with --data {where.parent}."
    return "Set WINNOW_CATALOG_URL to this database for all services and commands, and start them."


def _database(settings: Settings) -> SqlDatabase:
    """Raises what `require_existing` raises."""
    from winnow.api.collections.data_folder import require_existing
    from winnow.retrieval.catalog.sql.database import SqlDatabase
    from winnow.retrieval.files.layout import Layout

    require_existing(settings.data, settings.catalog_url)
    return SqlDatabase.at(settings.catalog_url or Layout(settings.data).catalog)


def _say(terminal: Terminal, database: SqlDatabase, *, json: bool) -> None:
    from winnow.retrieval.catalog.sql.migrate import NEWEST

    schema = database.schema()
    if json:
        body = {"database": database.place, "revision": schema.revision, "before_alembic": schema.before_alembic}
        terminal.answer(body | {"newest": NEWEST})
        return
    terminal.table(
        [Column(name="database"), Column(name="schema", style="bold"), Column(name="newest")],
        [(database.place, schema.said, NEWEST)],
    )
