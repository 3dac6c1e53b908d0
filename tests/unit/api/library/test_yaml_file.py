"""Instructions in YAML come back as they went out, and nothing else is read."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from winnow.api.library.built_in import built_in_instructions
from winnow.api.library.diff import changes, unified
from winnow.api.library.strict_yaml import read_yaml, write_yaml
from winnow.api.library.yaml_file import exported, imported, read_content, written_content
from winnow.rerank.instruction_template import check_content, render
from winnow.retrieval.catalog.instructions import (
    BUILT_IN_PREFIX,
    InstructionContent,
    InstructionVersion,
    State,
    Variable,
    VariableType,
)
from winnow.retrieval.errors import CallerError, InvalidRequest, LimitExceeded
from winnow.retrieval.limits import LIBRARY_BYTES_MAX

UNHURRIED = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
DATE = datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
WORDS = st.text(
    st.sampled_from("ab \n:#-'\"{}[]|>&*!%@`,?~\\退é\u200f\U0001f600\u0085\u2028")
    | st.characters(exclude_categories=["Cs", "Cc"]),
    max_size=30,
)
ODD = st.sampled_from(
    ["no", "yes", "null", "~", "1", "1.5", "0x1f", "2026-01-01", "true", "", " ", "- a", "a: b", "\n", "a\n\nb\n",
     "  a\nb", "a \nb", "#", "<<", "=", "!!python/object:os.system", "&a", "*a", "---", "...", "\ufeff", "\t",
     "a\tb\nc", "\r\n"]
)  # fmt: skip


@UNHURRIED
@given(
    st.recursive(
        WORDS | ODD | st.integers(-(10**17), 10**17) | st.booleans(), lambda inner: st.lists(inner, max_size=3)
    ),
    ODD | WORDS,
)
def test_whatever_is_written_is_read(value: Any, key: str) -> None:
    """Texts stay texts, whatever they look like; and other readers of YAML read the same."""
    written = write_yaml({key: value})
    assert read_yaml(written.encode(), bytes_max=LIBRARY_BYTES_MAX) == {key: value}
    assert yaml.safe_load(written) == {key: value}


VARIABLES = st.builds(
    Variable,
    name=st.just("topic"),
    default=st.none() | ODD.filter(lambda word: word.isprintable() and word.strip()),
    allowed=st.just(()),
    max_length=st.integers(100, 256),
    description=WORDS,
) | st.just(Variable(name="topic", type=VariableType.INTEGER, default=7, allowed=(7, -1)))  # fmt: skip


@UNHURRIED
@given(st.lists(st.tuples(WORDS | ODD, VARIABLES, WORDS, ODD, st.sampled_from(State)), min_size=1, max_size=4))
def test_what_was_exported_is_imported_to_the_letter(said: list[tuple[Any, ...]]) -> None:
    """Content, numbers, states and dates; and exported again it is the same file."""
    versions = []
    for number, (words, variable, note, author, state) in enumerate(said, start=1):
        content = InstructionContent(
            text=words.replace("{", "{{").replace("}", "}}") + "{topic}",
            variables=(variable,),
            note=note,
            author=author,
            collections=("no", "docs"),
        )
        try:
            check_content(content)
        except CallerError:
            continue
        later = DATE + timedelta(microseconds=number)
        versions.append(
            InstructionVersion(
                tenant="t",
                name="on" if number < 3 else "1",
                version=number,
                state=state,
                content=content,
                created_at=DATE,
                published_at=None if state is State.DRAFT else later,
                retired_at=later if state is State.RETIRED else None,
            )
        )
    file = exported(versions)
    assert imported(file.encode(), tenant="t") == versions
    assert exported(imported(file.encode(), tenant="t")) == file
    for each in versions:
        assert read_content(written_content(each.content).encode()) == each.content


HEAD = "winnow_instructions: 1\ninstructions:\n- name: a\n  versions:\n  - version: 1\n    text: x\n"


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("a: !!python/object/apply:os.system [id]", "line 1: tags are not supported"),
        (HEAD + "    note: !!str x", "line 7: tags are not supported"),
        ("a: &x [1]\nb: *x", "line 1: anchors are not supported"),
        ("a: *x", "aliases are not supported"),
        (HEAD + "    text: y", "line 7: the key 'text' is repeated"),
        (HEAD + "---\na: 1", "line 7: only one document is allowed"),
        ("? [a]\n: 1", "line 1: a key must be a text"),
        ("1: 2", "line 1: a key must be a text"),
        ("a: [1, 2", "invalid YAML, line"),
        ("a: \x00", "a character that YAML does not allow"),
        ("[" * 100_000, "line 1: nested more than 12 levels deep"),
        ("- " * 10_000, "line 1: nested more than 12 levels deep"),
        ("", "an object is expected"),
        ("[]", "an object is expected"),
        (HEAD.replace(": 1\n", ": 2\n", 1), "'winnow_instructions': 1 is expected"),
        (HEAD.replace("winnow_instructions: 1\n", ""), "the field 'winnow_instructions' is missing"),
        (HEAD + "    txt: y", "the field 'instructions.0.versions.0.txt' is unknown"),
        (HEAD + "    note: 5", "'instructions.0.versions.0.note': a text is expected"),
        (HEAD + "    note: true", "'instructions.0.versions.0.note': a text is expected"),
        (HEAD + "    state: gone", "'instructions.0.versions.0.state'"),
        (HEAD + "    created_at: yesterday", "'yesterday' is not a date"),
        (HEAD + "  - version: 1\n    text: y", "a@1 appears twice"),
        (HEAD.replace("version: 1", "version: 0"), "instructions.0.versions.0.version"),
        (HEAD + "    variables: {a: b}", "'instructions.0.versions.0.variables'"),
    ],
)
def test_what_is_no_library_is_refused(file: str, said: str) -> None:
    """With the line or the field; nothing is built, run or multiplied."""
    with pytest.raises(InvalidRequest, match=re.escape(said)):
        imported(file.encode(), tenant="t")


def test_bytes_that_are_no_text_and_too_many_of_them_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="not UTF-8 at byte 3"):
        imported(b"a: \xff", tenant="t")
    with pytest.raises(LimitExceeded, match="the limit is"):
        imported(b"#" * (LIBRARY_BYTES_MAX + 1), tenant="t")


def test_bare_words_are_texts() -> None:
    """`no` is a language and a date is its text; only whole numbers and five words are anything else."""
    said = read_yaml(b"[no, on, 2026-01-01, 1.5, 0o7, 1_000, 0x1f, 12:30, '5', 5, -3, ~, true]", bytes_max=100)
    assert said == ["no", "on", "2026-01-01", "1.5", "0o7", "1_000", "0x1f", "12:30", "5", 5, -3, None, True]


def test_every_built_in_instruction_can_be_used_as_it_is() -> None:
    """Published, for nobody's tenant, with a purpose, a note, an embedding task, and values for all it asks."""
    found = built_in_instructions()
    assert [each.name for each in found] == sorted(each.name for each in found)
    names = {each.name for each in found}
    assert {name for name in names if name + "-zh" not in names} == {name for name in names if name.endswith("-zh")}
    for each in found:
        content = check_content(each.content)
        made = render(content, {}, today=date(2026, 3, 1))
        assert each.name.startswith(BUILT_IN_PREFIX)
        assert (each.tenant, each.state) == (None, State.PUBLISHED)
        assert [other.version for other in found if other.name == each.name][: each.version] == [
            *range(1, each.version + 1)
        ]
        assert content.purpose
        assert content.note
        assert content.language == ("zh" if each.name.endswith("-zh") else "en")
        assert made.embedding_task
        assert "{" not in made.text + made.embedding_task


def test_a_diff_names_what_differs_and_nothing_else() -> None:
    """Applied to the one it gives the other."""
    before = InstructionContent(text="a\nb\nc", purpose="p")
    after = replace(before, text="a\nB\nc", variables=(Variable(name="x", default=1),), literal=False)
    assert [(each.field, each.before, each.after) for each in changes(before, after)] == [
        ("text", "a\nb\nc", "a\nB\nc"),
        ("variables", [], [{"name": "x", "type": "string", "default": 1}]),
    ]
    assert changes(before, before) == []
    was, now = (
        InstructionVersion(tenant="t", name="n", version=number, state=State.DRAFT, content=each, created_at=DATE)
        for number, each in ((1, before), (2, after))
    )
    lines = unified(was, now).splitlines()
    assert lines[:2] == ["--- n@1", "+++ n@2"]
    assert "-  b" in lines
    assert "+  B" in lines
    assert unified(was, was) == ""
