"""`winnow catalog`: which schema has the catalog's database, and how does it get another?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from api.flags import Config, Data, Json, switch
from api.settings import load
from api.terminal import Column, Terminal

if TYPE_CHECKING:
    from retrieval.sql_database import SqlDatabase

catalog = typer.Typer(help="Show, upgrade and downgrade the schema of the catalog's database.", no_args_is_help=True)


@catalog.command("show")
def show_catalog(*, data: Data = None, json: Json = False, config: Config = None) -> None:
    """Show where the catalog is, which schema it has, and which is the newest. Changes nothing."""
    _say(Terminal(json=json), _database(data, config), json=json)


@catalog.command("upgrade")
def upgrade_catalog(*, data: Data = None, json: Json = False, config: Config = None) -> None:
    """Upgrade the schema to the newest. Every command that opens the catalog does so by itself."""
    database = _database(data, config)
    database.upgrade()
    _say(Terminal(json=json), database, json=json)


@catalog.command("downgrade")
def downgrade_catalog(
    revision: Annotated[str, typer.Argument(metavar="REVISION", help="The schema to go back to, such as 0001.")],
    *,
    data: Data = None,
    yes: Annotated[bool, switch("--yes", "-y", said="Do not ask.")] = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """Go back to the schema of an earlier winnow. Stop all services first; what it cannot hold is lost, for good."""
    database = _database(data, config)
    if not yes:
        typer.confirm(f"Take {database.place} back to schema {revision}?", abort=True, err=True)
    database.downgrade(revision)
    _say(Terminal(json=json), database, json=json)


def _database(data: Data, config: Config) -> SqlDatabase:
    """Raises `SettingInvalid`."""
    from api.disk import require_existing
    from retrieval.layout import Layout
    from retrieval.sql_database import SqlDatabase

    settings = load({"data": data}, config=config)
    require_existing(settings.data, settings.catalog_url)
    return SqlDatabase.at(settings.catalog_url or Layout(settings.data).catalog)


def _say(terminal: Terminal, database: SqlDatabase, *, json: bool) -> None:
    from retrieval.sql_migrations import NEWEST

    schema = database.schema()
    if json:
        body = {"database": database.place, "revision": schema.revision, "before_alembic": schema.before_alembic}
        terminal.answer(body | {"newest": NEWEST})
        return
    terminal.table(
        [Column(name="database"), Column(name="schema", style="bold"), Column(name="newest")],
        [(database.place, schema.said, NEWEST)],
    )
