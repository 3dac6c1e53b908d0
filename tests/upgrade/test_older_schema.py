"""Processes of an earlier release go on while the catalog is upgraded under them: migrations only add what those skip.

The rule is that of docs/how-to/replicas.md. A migration that cannot keep it is named in `STOPS_FIRST`, and CHANGELOG.md
then asks to stop all services first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import sqlalchemy as sql

from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.migrate import NEWEST, REVISIONS

FIRST = "0021"  # of the first release that a rolling upgrade was tried from
STOPS_FIRST: frozenset[str] = frozenset()
RUNNING = [each for each in REVISIONS if FIRST <= each < NEWEST]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    kind: str
    is_required: bool  # by a statement that adds a row


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    columns: dict[str, Column]
    rules: frozenset[str]  # that a row must keep


def tables(database: SqlDatabase) -> dict[str, Table]:
    with database.reading() as connection:
        there = sql.inspect(connection)
        return {name: table(there, name) for name in there.get_table_names()}


def table(there: sql.Inspector, name: str) -> Table:
    key = there.get_pk_constraint(name)["constrained_columns"]
    rules = [f"key {key}"]
    rules += [f"unique {each['column_names']}" for each in there.get_unique_constraints(name)]
    rules += [f"unique {each['column_names']}" for each in there.get_indexes(name) if each["unique"]]
    rules += [f"check {each['sqltext']}" for each in there.get_check_constraints(name)]
    rules += [f"refers {each['constrained_columns']}" for each in there.get_foreign_keys(name)]
    return Table(
        columns={
            each["name"]: Column(kind=str(each["type"]), is_required=not each["nullable"] and each["default"] is None)
            for each in there.get_columns(name)
        },
        rules=frozenset(rules),
    )


def breaks(before: dict[str, Table], after: dict[str, Table]) -> Iterator[str]:
    """What fails in a process that knows only the tables of before."""
    for name, old in before.items():
        new = after.get(name)
        if new is None:
            yield f"{name} is gone"
            continue
        for column, was in old.columns.items():
            now = new.columns.get(column)
            if now is None or now.kind != was.kind or now.is_required > was.is_required:
                yield f"{name}.{column} was {was}, and is {now}"
        yield from (
            f"{name}.{column} has no default"
            for column, now in new.columns.items()
            if column not in old.columns and now.is_required
        )
        yield from (f"{name} has a new rule: {rule}" for rule in sorted(new.rules - old.rules))


@pytest.mark.parametrize("revision", RUNNING)
def test_an_upgrade_leaves_what_a_running_process_asks_for(place: Path | str, revision: str) -> None:
    database = SqlDatabase.open(place)
    database.downgrade(revision)
    before = tables(database)
    database.upgrade()
    found = list(breaks(before, tables(database)))
    database.close()
    assert not found or STOPS_FIRST & {each for each in REVISIONS if each > revision}, found


def test_each_way_to_break_a_running_process_is_found() -> None:
    name, size = Column(kind="VARCHAR", is_required=True), Column(kind="INTEGER", is_required=False)
    before = {"docs": Table(columns={"name": name, "size": size}, rules=frozenset({"key ['name']"}))}

    def after(columns: dict[str, Column], *rules: str) -> dict[str, Table]:
        return {"docs": Table(columns=columns, rules=before["docs"].rules | set(rules))}

    both = {"name": name, "size": size}
    added = Column(kind="INTEGER", is_required=True)
    fine = [before, after(both | {"more": replace(added, is_required=False)}), before | {"other": before["docs"]}]
    assert [list(breaks(before, each)) for each in fine] == [[]] * 3
    for broken in (
        {},
        after({"name": name}),
        after(both | {"size": replace(size, kind="VARCHAR")}),
        after(both | {"size": replace(size, is_required=True)}),
        after(both | {"more": added}),
        after(both, "unique ['size']"),
    ):
        assert len(list(breaks(before, broken))) == 1
