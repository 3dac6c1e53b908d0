"""`winnow catalog`: show, upgrade, downgrade, accept and copy the database of the catalog."""

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

catalog = typer.Typer(help="Show, upgrade, downgrade and copy the database of the catalog.", no_args_is_help=True)


@catalog.command("show")
@with_settings("data")
def show_catalog(*, settings: Settings, json: Json = False) -> None:
    """Show the database of the catalog, its schema and the newest schema. Changes nothing."""
    _say(Terminal(json=json), _database(settings), json=json)


@catalog.command("upgrade")
@with_settings("data")
def upgrade_catalog(*, settings: Settings, json: Json = False) -> None:
    """Upgrade the schema to the newest. Commands that open the catalog also do this automatically."""
    database = _database(settings)
    database.upgrade()
    _say(Terminal(json=json), database, json=json)


@catalog.command("downgrade")
@with_settings("data")
def downgrade_catalog(
    revision: Annotated[str, typer.Argument(metavar="REVISION", help="Schema to go back to, such as 0001.")],
    *,
    settings: Settings,
    yes: Annotated[bool, switch("--yes", "-y", meaning="Do not ask for confirmation.")] = False,
    json: Json = False,
) -> None:
    """Downgrade the schema for an earlier winnow. Stop all services first. Data that it cannot hold is lost."""
    from winnow.api.collections.pairing import part
    from winnow.retrieval.files.layout import Layout

    database = _database(settings)
    if not yes:
        typer.confirm(f"Downgrade {database.place} to schema {revision}?", abort=True, err=True)
    database.downgrade(revision)
    if settings.bucket is None:
        part(Layout(settings.folder), database)
    _say(Terminal(json=json), database, json=json)


@catalog.command("accept")
@with_settings("data")
def accept_catalog(*, settings: Settings, json: Json = False) -> None:
    """Accept all rows as they are, after you checked those that `winnow verify` reports."""
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
    terminal.say(
        f"Accepted. `winnow verify` compares the rows of {database.place} with this state from now on.", style="bold"
    )


@catalog.command("copy")
@with_settings("data")
def copy_catalog(
    *,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="URL|DIR",
            help="An empty PostgreSQL database, such as postgresql://winnow@db/winnow, or a data folder, which stores "
            "the catalog as a file. - reads it from stdin: process lists would show a password in the option.",
        ),
    ],
    settings: Settings,
    json: Json = False,
) -> None:
    """Copy the catalog into another database, completely or not at all. Stop all services first.

    Copies every row (tenants, keys, grants, collections, instructions, shadows, limits, usage, audit log), reads it
    back and compares. Changes that services make meanwhile are not copied. The source stays as it is.
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
        f"{source.place} → {target.place}: {amount(rows)} rows copied and compared in {duration(seconds)}.",
        style="bold",
    )
    terminal.say(f"{_next(where)} The catalog in {source.place} is unchanged and no longer used.")


def _where(terminal: Terminal, target: str) -> Path | str:
    """Raises `SettingInvalid` without the value, which may hold a password."""
    from winnow.retrieval.files.layout import Layout

    where = standard_input_line() if target == "-" else target
    if where and "://" not in where and Path(where).expanduser().is_dir():
        return Layout(Path(where).expanduser()).catalog
    try:
        url = database_url(where)
    except ValueError:
        raise SettingInvalid(
            "--to is neither a URL like postgresql://USER@HOST/DATABASE nor an existing folder"
        ) from None
    if target != "-" and urlsplit(url).password:
        terminal.warn("Process lists show the password in --to. Use `--to -` to pass the URL on standard input.")
    return url


def _next(where: Path | str) -> str:
    """The next step after a copy."""
    if isinstance(where, Path):
        return f"Unset WINNOW_CATALOG_URL and start the services with --data {where.parent}."
    return "Set WINNOW_CATALOG_URL to this database for all services and commands, then start the services."


def _database(settings: Settings) -> SqlDatabase:
    """Raises what `require_existing` and `require_used` raise."""
    from winnow.api.collections.bucket.pairing import require_used
    from winnow.api.collections.pairing import require_existing
    from winnow.retrieval.catalog.sql.database import SqlDatabase
    from winnow.retrieval.files.layout import Layout

    if settings.bucket is not None:
        return SqlDatabase.at(require_used(settings.bucket, settings.catalog_url))
    require_existing(settings.folder, settings.catalog_url)
    return SqlDatabase.at(settings.catalog_url or Layout(settings.folder).catalog)


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
