"""api/search/first_stage.py: what is kept of the catalog is what the catalog says, at every moment."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.fakes import ScriptedRecall
from winnow.api.collections.catalog import Catalog
from winnow.api.library.instructions import NamedInstruction
from winnow.api.search.first_stage import FirstStage, Opened
from winnow.api.search.records import Question
from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.catalog.instructions import InstructionContent, Variable
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import CallerError
from winnow.retrieval.tenancy import COMMAND_LINE, TenantName

OWNER, READER = TenantName("default"), TenantName("reader")
NAMES = ("docs", "notes")
ASKED = (*((OWNER, name) for name in NAMES), *((READER, f"default/{name}") for name in NAMES), (READER, "docs"))


@dataclass
class Counted:
    """Opens the same recall for every collection, and counts how often. Implements `OpensCollections`."""

    recall: ScriptedRecall = field(default_factory=lambda: ScriptedRecall("a"))
    opened: int = 0

    def recall_of(self, collection: Collection, *, asker: str) -> ScriptedRecall:
        self.opened += 1
        return self.recall


def catalog_at(path: Path) -> Catalog:
    return Catalog.of(SqlDatabase.open(path), place="here")


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    catalog = catalog_at(tmp_path / "catalog.sqlite")
    catalog.tenants.make(READER, by=COMMAND_LINE)
    yield catalog
    catalog.database.close()


def first_stage(catalog: Catalog, collections: Counted, version: Callable[[], int | None]) -> FirstStage:
    return FirstStage(
        catalog=catalog.collections,
        instructions=catalog.instructions,
        collections=collections,
        candidates_default=4,
        catalog_version=version,
    )


def collection(name: str = "docs") -> Collection:
    return Collection(
        tenant=OWNER,
        name=name,
        embedder=EmbedderIdentity(name="e", revision="1", dimension=8),
        chunk_tokens=256,
        created_at=datetime.now(UTC),
    )


def question(tenant: TenantName = OWNER, name: str = "docs", **changes: object) -> Question:
    return Question(**({"tenant": tenant, "collection": name, "query": "q", "top_k": 3} | changes))


def test_what_was_opened_is_known_until_the_catalog_changes(catalog: Catalog, tmp_path: Path) -> None:
    """A change by another process counts, and so does one that concerns something else."""
    catalog.collections.add(collection())
    stage = first_stage(catalog, collections := Counted(), catalog.database.version)
    assert stage.known(question()) is None
    opened = stage.open(question())
    assert stage.known(question(query="another", top_k=1)) is opened
    assert stage.known(question(key_instruction="prefer examples")) is None
    other = catalog_at(tmp_path / "catalog.sqlite")
    other.collections.change(OWNER, "docs", demote_query_echo=True)
    assert stage.known(question()) is None
    assert stage.open(question()).collection.demote_query_echo
    assert stage.known(question()) is not None
    other.collections.add(collection("notes"))
    assert stage.known(question()) is None
    other.database.close()
    assert collections.opened == 2


def test_without_a_version_everything_is_read_again(catalog: Catalog) -> None:
    """So it is over PostgreSQL, which would have to be asked for one."""
    catalog.collections.add(collection())
    stage = first_stage(catalog, Counted(), lambda: None)
    stage.open(question())
    assert stage.known(question()) is None


def test_what_depends_on_the_day_or_on_the_request_is_not_kept(catalog: Catalog) -> None:
    catalog.collections.add(collection())
    stage = first_stage(catalog, Counted(), catalog.database.version)
    stage.open(question(instruction="prefer examples"))
    assert stage.known(question(instruction="prefer examples")) is None
    assert stage.known(question()) is None
    stage.open(question())
    assert stage.known(question(instruction=NamedInstruction(name="builtin/legal-statutes"))) is None
    catalog.instructions.publish(OWNER, "dated", InstructionContent(text="As of {today}: prefer the newest."))
    catalog.instructions.set_default(OWNER, "dated")
    assert "As of 2" in stage.open(question()).instructions[0].text
    assert stage.known(question()) is None


@pytest.mark.parametrize("seed", range(3))
def test_searches_see_what_the_catalog_says_whatever_happens_to_it(catalog: Catalog, tmp_path: Path, seed: int) -> None:
    """Collections come, change and go, grants are given and taken, defaults set, here and in another process."""
    draw, others = random.Random(seed), catalog_at(tmp_path / "catalog.sqlite")
    catalog.instructions.publish(
        OWNER, "plain", InstructionContent(text="Prefer {topic}.", variables=(Variable(name="topic", default="rain"),))
    )
    stage = first_stage(catalog, Counted(), catalog.database.version)
    oracle = first_stage(catalog, Counted(), lambda: None)
    kept = 0
    for _ in range(160):
        if draw.random() < 0.2:
            _change(draw.choice((catalog, others)), draw)
        asked = question(*draw.choice(ASKED), key_instruction=draw.choice((None, None, "prefer examples", "plain")))
        known = stage.known(asked)
        kept += known is not None
        assert _seen(known or _opened(stage, asked)) == _seen(_opened(oracle, asked))
    assert kept > 5
    others.database.close()


def _opened(stage: FirstStage, asked: Question) -> Opened | str:
    try:
        return stage.open(asked)
    except CallerError as refused:
        return refused.message


def _seen(opened: Opened | str) -> object:
    return opened if isinstance(opened, str) else (opened.collection, opened.instructions)


def _change(catalog: Catalog, draw: random.Random) -> None:
    name = draw.choice(NAMES)
    change = draw.choice((
        *2 * (lambda: catalog.collections.add(collection(name)),),
        lambda: catalog.collections.remove(OWNER, name),
        lambda: catalog.collections.change(OWNER, name, demote_query_echo=draw.random() < 0.5),
        lambda: catalog.collections.change(OWNER, name, instruction=draw.choice((None, None, None, "plain"))),
        lambda: catalog.grants.give(OWNER, name, READER, by=COMMAND_LINE),
        lambda: catalog.grants.take_back(OWNER, name, READER, by=COMMAND_LINE),
        lambda: catalog.instructions.set_default(OWNER, draw.choice((None, None, None, "plain"))),
    ))  # fmt: skip
    with contextlib.suppress(CallerError):  # there is nothing to change: the catalog stays as it is
        change()
