"""A data folder whose catalog is in PostgreSQL, and the commands for the schema of either."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.postgres import TEMPLATE, PostgresServer
from winnow.api.cli.main import app
from winnow.api.collections.data_folder import DataFolder
from winnow.api.settings import load
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.migrate import NEWEST
from winnow.retrieval.errors import CatalogExists, SettingInvalid


def typed(*words: object, url: str | None, given: str = "") -> Result:
    environment = {} if url is None else {"WINNOW_CATALOG_URL": url}
    done = CliRunner().invoke(app, list(map(str, words)), env=environment, input=given, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


def run(*words: object, url: str | None) -> Any:
    """What the command says as JSON."""
    return json.loads(typed(*words, "--json", url=url).stdout)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str | None:
    return None if request.param == "sqlite" else request.getfixturevalue("postgres").new()


def test_instructions_are_published_into_the_database_that_is_set(tmp_path: Path, url: str | None) -> None:
    """By one command, and listed by another; no file is made where there is a URL."""
    data = tmp_path / "data"
    run("instructions", "publish", "recency", "Prefer recent documents", "--data", data, url=url)
    listed = run("instructions", "list", "--data", data, url=url)
    assert [each["name"] for each in listed["instructions"]] == ["recency"]
    assert (data / "catalog.sqlite").exists() == (url is None)
    assert run("collections", "list", "--data", data, url=url) == {"collections": []}


def test_the_schema_is_shown_taken_back_and_upgraded(tmp_path: Path, url: str | None) -> None:
    """Showing changes nothing: what was taken back stays so until something opens it."""
    DataFolder.open(tmp_path, url).catalog.database.close()
    shown = run("catalog", "show", "--data", tmp_path, url=url)
    assert (shown["revision"], shown["newest"], shown["before_alembic"]) == (NEWEST, NEWEST, None)
    assert run("catalog", "downgrade", "0001", "--yes", "--data", tmp_path, url=url)["revision"] == "0001"
    assert run("catalog", "show", "--data", tmp_path, url=url)["revision"] == "0001"
    assert run("catalog", "upgrade", "--data", tmp_path, url=url)["revision"] == NEWEST


def test_a_folder_that_is_not_there_is_misspelt(tmp_path: Path, url: str | None) -> None:
    """And is not made by looking at it."""
    for words in (["catalog", "show"], ["collections", "list"]):
        with pytest.raises(SettingInvalid, match="is not a data folder of winnow yet"):
            run(*words, "--data", tmp_path / "missing", url=url)
    assert not (tmp_path / "missing").exists()


def test_the_password_is_not_shown(tmp_path: Path, postgres: PostgresServer) -> None:
    """Neither by a command nor by the setting that is refused."""
    postgres.execute("CREATE ROLE guarded LOGIN SUPERUSER PASSWORD 'swordfish'")
    url = postgres.url(TEMPLATE, user="guarded", password="swordfish")  # noqa: S106
    shown = run("catalog", "show", "--data", tmp_path, url=url)
    assert "guarded" in str(shown["database"])
    assert "swordfish" not in str(shown)
    with pytest.raises(SettingInvalid, match="WINNOW_CATALOG_URL") as caught:
        load({}, environment={"WINNOW_CATALOG_URL": "mysql://guarded:swordfish@h/d"})
    assert "swordfish" not in str(caught.value)


def test_looking_at_a_schema_needs_none(tmp_path: Path) -> None:
    database = SqlDatabase.at(tmp_path / "empty.sqlite")
    assert database.schema().said == "none"
    database.close()


def test_a_catalog_moves_to_a_server_and_back(tmp_path: Path, postgres: PostgresServer) -> None:
    """What was written before is there under the new setting; each time it is said what was copied, and what to do."""
    data, other, url = tmp_path / "data", tmp_path / "other", postgres.new()
    other.mkdir()
    run("instructions", "publish", "recency", "Prefer recent documents", "--data", data, url=None)
    copied = run("catalog", "copy", "--to", url, "--data", data, url=None)
    rows = {each["name"]: each["rows"] for each in copied["tables"]}
    assert (rows["instructions"], rows["audit"], copied["revision"]) == (1, 1, NEWEST)
    assert copied["rows"] == sum(rows.values())
    listed = run("instructions", "list", "--data", data, url=url)
    assert [each["name"] for each in listed["instructions"]] == ["recency"]
    run("instructions", "publish", "house", "Prefer birds", "--data", data, url=url)
    back = typed("catalog", "copy", "--to", other, "--data", data, url=url)
    assert "instructions\t2" in back.stdout.splitlines()
    assert f"Unset WINNOW_CATALOG_URL and start the services with --data {other}." in back.stderr
    assert len(run("instructions", "list", "--data", other, url=None)["instructions"]) == 2
    again = typed("catalog", "copy", "--to", postgres.new(), "--data", other, url=None)
    assert "Set WINNOW_CATALOG_URL" in again.stderr


def test_a_copy_shows_no_password(tmp_path: Path, postgres: PostgresServer) -> None:
    """Neither where it is done nor where it is refused; one that shows in process lists is warned of."""
    postgres.execute("CREATE ROLE mover LOGIN SUPERUSER PASSWORD 'swordfish'")
    run("instructions", "publish", "recency", "Prefer recent documents", "--data", tmp_path, url=None)

    def guarded() -> str:
        """The URL of a database that nobody has, with a password."""
        name = postgres.new().partition("?")[0].rpartition("/")[2]
        return postgres.url(name, user="mover", password="swordfish")  # noqa: S106

    url = guarded()
    read = typed("catalog", "copy", "--to", "-", "--data", tmp_path, url=None, given=f"{url}\n")
    assert "mover@/" in read.stderr
    assert "Process lists" not in read.stderr
    for words in (["--to", url, "--json"], ["--to", url]):
        with pytest.raises(CatalogExists) as caught:
            typed("catalog", "copy", *words, "--data", tmp_path, url=url)
        assert "swordfish" not in str(caught.value)
    shown = typed("catalog", "copy", "--to", guarded(), "--data", tmp_path, url=url)
    assert "Process lists" in shown.stderr
    assert "swordfish" not in read.output + shown.output
    for wrong in ("mysql://mover:swordfish@h/d", "postgres//mover:swordfish@h/d", "mover:swordfish@h", ""):
        with pytest.raises(SettingInvalid, match="--to is neither") as caught:
            typed("catalog", "copy", "--to", wrong, "--data", tmp_path, url=None)
        assert "swordfish" not in str(caught.value)
