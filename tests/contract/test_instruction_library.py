"""What every InstructionLibrary promises: one in memory, one over two databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.memory_library import MemoryLibrary
from tests.postgres import TEMPLATE
from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.catalog.instructions import (
    Act,
    InstructionContent,
    InstructionLibrary,
    InstructionVersion,
    Reference,
    State,
    Variable,
    VariableType,
    state_after,
)
from winnow.retrieval.catalog.sql.audit import SqlAuditLog
from winnow.retrieval.catalog.sql.collections import SqlCollections
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.instructions import SqlInstructions
from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import InstructionConflict, InstructionNotFound, InvalidRequest, WriteFailed
from winnow.retrieval.tenancy import Actor

FIRST, SECOND = InstructionContent(text="Prefer recent documents"), InstructionContent(text="优先近三年的文献")
WHOLE = InstructionContent(
    text="{language} first, {{since}} {year}\n\ton two lines",
    embedding_task="in {language}",
    variables=(
        Variable(name="language", type=VariableType.ENUM, allowed=("en", "中文"), default="en", description="which"),
        Variable(name="year", type=VariableType.INTEGER, allowed=(1, 2), max_length=4),
    ),
    purpose="a purpose",
    language="en",
    collections=("docs", "laws"),
    author="an author",
    note="'; DROP TABLE instructions; --",
)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def library(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[InstructionLibrary]:
    if request.param == "memory":
        yield MemoryLibrary()
        return
    if request.param == "sqlite":
        opened = SqlDatabase.open(tmp_path / "catalog.sqlite")
    else:
        opened = SqlDatabase.open(request.getfixturevalue("postgres").new(template=TEMPLATE))
    yield SqlInstructions(opened)
    opened.close()


def states(library: InstructionLibrary, name: str = "recency") -> list[str]:
    return [f"{each.reference} {each.state}" for each in library.versions("default", name)]


def test_a_version_comes_back_as_it_was_written(library: InstructionLibrary) -> None:
    """Draft or published, to the last field and the microsecond."""
    draft = library.write_draft("default", "whole", WHOLE)
    assert (draft.state, draft.version, draft.content, draft.published_at) == (State.DRAFT, 1, WHOLE, None)
    assert library.version("default", "whole", 1) == draft
    published = library.publish_draft("default", "whole")
    assert published == replace(draft, state=State.PUBLISHED, published_at=published.published_at)
    assert library.version("default", "whole") == published
    assert published.published_at is not None
    assert published.published_at.tzinfo is not None
    retired = library.retire("default", "whole", 1)
    assert library.versions("default") == [retired]
    assert (retired.state, retired.content, retired.published_at) == (State.RETIRED, WHOLE, published.published_at)


def test_versions_count_up_and_never_change(library: InstructionLibrary) -> None:
    """The same content again publishes nothing; an older one after a newer one is a new version."""
    first = library.publish("default", "recency", FIRST)
    assert (first.version, library.publish("default", "recency", FIRST)) == (1, first)
    second = library.publish("default", "recency", SECOND)
    third = library.publish("default", "recency", FIRST)
    assert [second.version, third.version] == [2, 3]
    assert library.version("default", "recency") == third
    assert library.version("default", "recency", 1) == first
    library.publish("default", "a", FIRST)
    assert [each.reference for each in library.versions("default")] == ["a@1", "recency@1", "recency@2", "recency@3"]
    assert library.versions("default", "none") == []


def test_a_name_has_one_draft_which_may_be_edited_and_deleted(library: InstructionLibrary) -> None:
    """It has the number of the next version, and nobody who names no version sees it."""
    library.publish("default", "recency", FIRST)
    assert library.write_draft("default", "recency", SECOND).version == 2
    assert library.write_draft("default", "recency", WHOLE).version == 2
    assert states(library) == ["recency@1 published", "recency@2 draft"]
    assert library.version("default", "recency").version == 1
    assert library.version("default", "recency", 2).content == WHOLE
    with pytest.raises(InstructionConflict, match="draft"):
        library.publish("default", "recency", SECOND)
    library.delete_draft("default", "recency")
    assert states(library) == ["recency@1 published"]
    for act in (library.delete_draft, library.publish_draft):
        with pytest.raises(InstructionNotFound, match="recency has no draft"):
            act("default", "recency")
    assert library.publish("default", "recency", SECOND).version == 2


ACTS: dict[Act, Callable[[InstructionLibrary], object]] = {
    Act.EDIT: lambda library: library.write_draft("default", "recency", SECOND),
    Act.DELETE: lambda library: library.delete_draft("default", "recency", 1),
    Act.PUBLISH: lambda library: library.publish_draft("default", "recency", 1),
    Act.RETIRE: lambda library: library.retire("default", "recency", 1),
}
TABLE = {
    (State.DRAFT, Act.EDIT): State.DRAFT,
    (State.DRAFT, Act.DELETE): None,
    (State.DRAFT, Act.PUBLISH): State.PUBLISHED,
    (State.PUBLISHED, Act.RETIRE): State.RETIRED,
}  # everything else is refused


def in_state(library: InstructionLibrary, state: State) -> None:
    library.write_draft("default", "recency", FIRST)
    if state is not State.DRAFT:
        library.publish_draft("default", "recency")
    if state is State.RETIRED:
        library.retire("default", "recency", 1)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("act", [Act.DELETE, Act.PUBLISH, Act.RETIRE])
def test_every_act_in_every_state_is_in_the_table_or_refused(
    library: InstructionLibrary, state: State, act: Act
) -> None:
    """And what is refused changes nothing."""
    in_state(library, state)
    before = library.versions("default")
    if (state, act) in TABLE:
        ACTS[act](library)
        after = TABLE[state, act]
        assert states(library) == ([] if after is None else [f"recency@1 {after}"])
    else:
        with pytest.raises(InstructionConflict, match=f"recency@1 is {state}; you cannot {act} it"):
            ACTS[act](library)
        assert library.versions("default") == before


@pytest.mark.parametrize("state", State)
def test_writing_never_edits_what_is_published(library: InstructionLibrary, state: State) -> None:
    """Only a draft is edited; otherwise there is a new one."""
    in_state(library, state)
    before = library.version("default", "recency", 1)
    written = library.write_draft("default", "recency", SECOND)
    assert written.content == SECOND
    if state is State.DRAFT:
        assert states(library) == ["recency@1 draft"]
    else:
        assert library.version("default", "recency", 1) == before
        assert written.reference == "recency@2"


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("act", Act)
def test_the_table_of_states_is_the_one_that_was_meant(state: State, act: Act) -> None:
    """Beside the library: the table alone."""
    if (state, act) in TABLE:
        assert state_after(state, act, named="x@1") is TABLE[state, act]
    else:
        with pytest.raises(InstructionConflict, match="x@1"):
            state_after(state, act, named="x@1")


def test_a_retired_version_is_used_by_whoever_names_it_and_by_nobody_else(library: InstructionLibrary) -> None:
    """The name means the published one before it."""
    library.publish("default", "recency", FIRST)
    library.publish("default", "recency", SECOND)
    library.retire("default", "recency", 2)
    assert library.version("default", "recency").version == 1
    assert library.version("default", "recency", 2).state is State.RETIRED
    with pytest.raises(InstructionConflict, match="recency@2 is retired"):
        library.set_default("default", "recency@2")
    library.retire("default", "recency", 1)
    with pytest.raises(InstructionNotFound, match="recency"):
        library.version("default", "recency")
    assert library.publish("default", "recency", SECOND).version == 3


def test_a_default_is_a_published_instruction_of_the_tenant(library: InstructionLibrary) -> None:
    """By name, by version, or one that comes with winnow; it can be taken back."""
    assert library.default("default") is None
    with pytest.raises(InstructionNotFound, match="recency"):
        library.set_default("default", "recency")
    library.write_draft("default", "recency", FIRST)
    with pytest.raises(InstructionConflict, match="recency@1 is draft"):
        library.set_default("default", "recency@1")
    library.publish_draft("default", "recency")
    for reference in ("recency", "recency@1", "builtin/legal-statutes"):
        library.set_default("default", reference)
        assert library.default("default") == reference
    assert library.default("other") is None
    with pytest.raises(InstructionNotFound):
        library.set_default("default", "none")
    assert library.default("default") == "builtin/legal-statutes"
    library.set_default("default", None)
    library.set_default("default", None)
    assert library.default("default") is None


def test_the_last_version_that_a_default_means_is_not_retired(library: InstructionLibrary) -> None:
    """While another is published it may go; a default that names its version is no hindrance."""
    library.publish("default", "recency", FIRST)
    library.publish("default", "recency", SECOND)
    library.set_default("default", "recency")
    library.retire("default", "recency", 1)
    with pytest.raises(InstructionConflict, match="recency"):
        library.retire("default", "recency", 2)
    assert states(library) == ["recency@1 retired", "recency@2 published"]
    library.set_default("default", "recency@2")
    library.retire("default", "recency", 2)
    assert library.version("default", "recency", 2).state is State.RETIRED


ASKS = InstructionContent(text="on {topic}", variables=(Variable(name="topic"),))


def test_what_asks_for_values_does_not_become_what_a_default_means(library: InstructionLibrary) -> None:
    """Neither by choice, nor by publishing or retiring beneath it; nobody could give any."""
    library.publish("default", "recency", ASKS)
    library.publish("default", "recency", FIRST)
    library.set_default("default", "recency")
    library.write_draft("default", "recency", ASKS)
    before = library.versions("default")
    for attempt in (
        lambda: library.publish_draft("default", "recency"),
        lambda: library.retire("default", "recency", 2),
        lambda: library.set_default("default", "recency@1"),
    ):
        with pytest.raises(InstructionConflict, match="recency"):
            attempt()
        assert (library.versions("default"), library.default("default")) == (before, "recency")
    library.delete_draft("default", "recency")
    for refused in (
        lambda: library.publish("default", "recency", ASKS),
        lambda: library.bring_in("default", [version(7, ASKS)]),
    ):
        with pytest.raises(InstructionConflict, match="recency"):
            refused()
    assert states(library) == ["recency@1 published", "recency@2 published"]
    library.set_default("default", "recency@2")
    assert library.publish("default", "recency", ASKS).version == 3


def test_nor_the_last_one_that_a_collection_means(database: SqlDatabase) -> None:
    """Of the same tenant."""
    library, catalog = SqlInstructions(database), SqlCollections(database)
    for tenant in ("default", "other"):
        library.publish(tenant, "recency", FIRST)
        catalog.add(
            Collection(
                tenant=tenant,
                name="laws",
                embedder=EmbedderIdentity(name="e", revision="1", dimension=8),
                chunk_tokens=64,
                created_at=datetime.now(UTC),
            )
        )
    catalog.change("default", "laws", instruction="recency")
    with pytest.raises(InstructionConflict, match="a collection's default"):
        library.retire("default", "recency", 1)
    library.retire("other", "recency", 1)
    with pytest.raises(InstructionConflict, match="recency@1 is retired"):
        catalog.change("other", "laws", instruction="recency@1")
    catalog.change("default", "laws", instruction=None)
    library.retire("default", "recency", 1)


def test_an_instruction_belongs_to_its_tenant(library: InstructionLibrary) -> None:
    """By another tenant it cannot be read, published, retired or deleted."""
    library.publish("default", "recency", FIRST)
    library.write_draft("default", "recency", SECOND)
    for attempt in (
        lambda: library.version("other", "recency"),
        lambda: library.version("other", "recency", 2),
        lambda: library.publish_draft("other", "recency", 2),
        lambda: library.delete_draft("other", "recency", 2),
        lambda: library.retire("other", "recency", 1),
        lambda: library.set_default("other", "recency"),
    ):
        with pytest.raises(InstructionNotFound, match="recency"):
            attempt()
    assert library.versions("other") == []
    assert library.publish("other", "recency", SECOND).version == 1
    assert states(library) == ["recency@1 published", "recency@2 draft"]
    with pytest.raises(InstructionNotFound, match="recency, version 3"):
        library.version("default", "recency", 3)


def version(
    number: int, content: InstructionContent, *, name: str = "recency", state: State = State.PUBLISHED
) -> InstructionVersion:
    date = datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
    return InstructionVersion(
        tenant="default",
        name=name,
        version=number,
        state=state,
        content=content,
        created_at=date,
        published_at=None if state is State.DRAFT else date,
        retired_at=date if state is State.RETIRED else None,
    )


def test_what_is_brought_in_stays_what_it_is(library: InstructionLibrary) -> None:
    """Numbers, states, dates; what is there already is passed over, also where it was retired meanwhile."""
    brought = [
        version(1, FIRST, name="a"), version(2, FIRST, state=State.RETIRED), version(4, SECOND),
        version(5, WHOLE, state=State.DRAFT),
    ]  # fmt: skip
    assert library.bring_in("default", brought) == brought
    assert library.versions("default") == brought
    library.retire("default", "recency", 4)
    assert library.bring_in("default", brought) == []
    library.delete_draft("default", "recency")
    later = version(7, FIRST)
    assert library.bring_in("default", [later, *brought[:3]]) == [later]


@pytest.mark.parametrize("refused", [version(1, SECOND), version(2, FIRST), version(9, FIRST)])
def test_what_contradicts_is_not_brought_in_nor_anything_beside_it(
    library: InstructionLibrary, refused: InstructionVersion
) -> None:
    """A number that says something else, one before the newest, one after a draft."""
    library.bring_in("default", [version(1, FIRST), version(3, FIRST), version(4, SECOND, state=State.DRAFT)])
    before = library.versions("default")
    with pytest.raises(InstructionConflict, match="recency"):
        library.bring_in("default", [version(1, FIRST, name="a"), refused])
    assert library.versions("default") == before


def test_every_change_is_in_the_audit_log(database: SqlDatabase) -> None:
    """As whoever made it, with the version and its state, never its text; what changed nothing is not."""
    library, key = SqlInstructions(database), Actor("key:k1")
    library.write_draft("default", "recency", FIRST, by=key)
    library.publish_draft("default", "recency", by=key)
    library.publish("default", "recency", FIRST, by=key)
    library.publish("default", "recency", SECOND)
    library.retire("default", "recency", 1, by=key)
    library.set_default("default", "recency", by=key)
    library.set_default("default", "recency", by=key)
    library.write_draft("default", "recency", FIRST, by=key)
    library.delete_draft("default", "recency", by=key)
    library.bring_in("default", [version(9, FIRST)], by=key)
    entries = list(reversed(SqlAuditLog(database).entries(tenant="default", limit=100)))
    assert [(each.action, each.subject) for each in entries] == [
        ("instruction.draft", "recency@1"),
        ("instruction.publish", "recency@1"),
        ("instruction.publish", "recency@2"),
        ("instruction.retire", "recency@1"),
        ("instruction.default", "recency"),
        ("instruction.draft", "recency@3"),
        ("instruction.delete", "recency@3"),
        ("instruction.import", "recency@9"),
    ]
    assert [each.actor for each in entries].count("key:k1") == 7
    assert (entries[3].before, entries[3].after) == (
        {"version": 1, "state": "published"},
        {"version": 1, "state": "retired"},
    )
    assert (entries[4].before, entries[4].after) == ({"instruction": None}, {"instruction": "recency"})
    assert FIRST.text not in repr(entries)


def test_threads_publish_consecutive_versions(database: SqlDatabase) -> None:
    """What a writer has read is still so when it writes."""
    library = SqlInstructions(database)
    with ThreadPoolExecutor(8) as pool:
        contents = [InstructionContent(text=f"text {turn}") for turn in range(24)]
        published = list(pool.map(lambda content: library.publish("default", "recency", content), contents))
    assert sorted(each.version for each in published) == list(range(1, 25))
    assert library.versions("default") == sorted(published, key=lambda each: each.version)


@pytest.mark.parametrize(
    "change",
    ["text = 'other'", "note = 'x'", "embedding_task = 'x'", "variables = '[1]'", "version = 7", "state = 'draft'",
     "created_at = '2027'", "name = 'x'"],
)  # fmt: skip
@pytest.mark.parametrize("state", [State.PUBLISHED, State.RETIRED])
def test_not_even_sql_changes_what_is_published(database: SqlDatabase, state: State, change: str) -> None:
    """A trigger of the database refuses it."""
    library = SqlInstructions(database)
    in_state(library, state)
    before = library.versions("default")
    with pytest.raises(WriteFailed, match="a published instruction never changes"), database.writing() as connection:
        connection.exec_driver_sql(f"UPDATE instructions SET {change}")  # noqa: S608  the words above
    assert library.versions("default") == before


@pytest.mark.parametrize("impossible", ["a\x00b", "a\ud800"])
def test_what_no_text_holds_is_refused(database: SqlDatabase, impossible: str) -> None:
    """By both databases in the same words."""
    library = SqlInstructions(database)
    for attempt in (
        lambda: library.publish("default", impossible, FIRST),
        lambda: library.write_draft("default", "recency", InstructionContent(text=impossible)),
        lambda: library.version("default", impossible),
    ):
        with pytest.raises(InvalidRequest, match="NUL or half a surrogate pair"):
            attempt()
    assert library.versions("default") == []


@pytest.mark.parametrize(
    ("said", "reference"),
    [("legal", Reference(name="legal")), ("legal@2", Reference(name="legal", version=2)),
     ("builtin/x@12", Reference(name="builtin/x", version=12))],
)  # fmt: skip
def test_a_reference_is_said_as_it_is_read(said: str, reference: Reference) -> None:
    assert (Reference.of(said), str(reference)) == (reference, said)


@pytest.mark.parametrize("said", ["", "@1", "a@", "a@0", "a@01", "a@1@2", "a@-1", "a@x", "a@" + "9" * 40, "a@1\n"])
def test_what_is_no_reference_is_refused(said: str) -> None:
    with pytest.raises(InvalidRequest, match="NAME@VERSION"):
        Reference.of(said)
