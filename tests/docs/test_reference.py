"""The reference says what the code says, and everything that can be commanded, set or refused is in it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from docs.generate import limits
from docs.generate.__main__ import COMMAND
from docs.generate.cli import commands, is_option
from docs.generate.http import operations
from docs.generate.markdown import anchor, cell, prose
from docs.generate.openapi import described
from docs.generate.pages import FOLDER, PAGES, written
from docs.generate.schemas import kind_of
from winnow.api.cli.terminal import Exit
from winnow.api.http.metric_table import METRICS
from winnow.api.http.problems import STATUS, code_of
from winnow.api.http.scopes import NEEDED
from winnow.api.settings import rows
from winnow.retrieval.errors import leaves

COMMANDS = dict(commands())


def committed(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_makes(name: str) -> None:
    """The reference is generated, never edited."""
    assert committed(name) == written(name), (
        f"docs/reference/{name} differs from the code. Run `{COMMAND}` and commit it"
    )


def test_no_other_page_stands_among_them() -> None:
    """A page that no code makes would not be noticed when it becomes wrong."""
    by_campaign = {"compatibility.md"}  # of tests.clients.page, whose test compares it with the rows
    assert {path.name for path in FOLDER.iterdir()} == set(PAGES) | by_campaign


def test_every_link_within_the_reference_leads_somewhere() -> None:
    """To a heading of the same page; links to other pages are the site generator's to check."""
    for name in PAGES:
        text = committed(name)
        headings = {anchor(line.lstrip("# ")) for line in text.splitlines() if line.startswith("#")}
        linked = {part.split(")")[0] for part in text.split("](#")[1:]}
        assert linked <= headings, f"{name} links to {sorted(linked - headings)}"


def test_every_route_is_in_the_page_of_routes() -> None:
    """By the table of scopes, which no route escapes."""
    on_page = {(method, path) for method, path, _ in operations(described())}
    only_refused = {("POST", "/v1/uploads"), ("POST", "/v1/vector_stores/{name}/file_batches")}
    assert on_page == {(method, path.replace(":path", "")) for method, path in NEEDED} - only_refused


def test_a_route_says_once_what_it_does() -> None:
    """The summary stands in the overview; below the heading of a route, only if there is no description."""
    lines = committed("http.md").splitlines()
    for method, path, operation in operations(described()):
        below = lines[lines.index(f"### {method} {path}") + 2]
        first = prose(operation.get("description", "")).splitlines()
        assert below == (first[0] if first else f"{operation['summary']}.")


def test_every_error_is_in_the_page_of_errors() -> None:
    """With its status and the code that programs branch on."""
    text = committed("errors.md")
    for leaf in leaves():
        assert f"| `{leaf.__name__}` | {int(STATUS[leaf])} | `{code_of(leaf)}` |" in text


@pytest.mark.parametrize("code", [0, *Exit])
def test_every_exit_code_is_documented(code: int) -> None:
    """Scripts branch on them."""
    assert f"\n| {int(code)} | " in committed("errors.md")


def test_every_setting_is_in_the_page_of_settings() -> None:
    """By its variable, once."""
    text = committed("settings.md")
    assert all(text.count(f"\n| `{row.variable}` | ") == 1 for row in rows())


def test_every_metric_is_in_the_page_of_metrics() -> None:
    """By its name, once."""
    text = committed("metrics.md")
    assert all(text.count(f"\n| `{metric.name}` | ") == 1 for metric in METRICS)


def test_every_limit_is_in_the_page_of_limits() -> None:
    """By its name, once; a limit without a unit cannot be written there."""
    text = committed("limits.md")
    assert all(text.count(f"\n| `{name}` | ") == 1 for name in limits.names())


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_and_every_option_has_help(words: str) -> None:
    """`--help` is where people look first."""
    command = COMMANDS[words]
    assert command.help, f"{words} does not say what it does"
    for parameter in command.params:
        if parameter.name != "help":
            assert parameter.help, f"{words} does not say what {parameter.name} is"


FOR_OTHERS = {"winnow serve", "winnow demo", "winnow mcp"}


@pytest.mark.parametrize("words", [words for words in COMMANDS if words not in FOR_OTHERS])
def test_every_command_speaks_json(words: str) -> None:
    """All but those whose output is for people, or a protocol."""
    assert "json" in {parameter.name for parameter in COMMANDS[words].params}


@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_that_takes_a_collection_takes_a_tenant(words: str) -> None:
    """Every tenant has collection names of its own."""
    names = {parameter.name for parameter in COMMANDS[words].params}
    assert "collection" not in names or "tenant" in names, f"{words} reaches only the default tenant's collections"


@pytest.mark.parametrize("words", COMMANDS)
def test_options_agree_with_the_settings(words: str) -> None:
    """A flag named like a setting is that setting: same spelling, same help."""
    by_name = {row.name: row for row in rows()}
    for parameter in filter(is_option, COMMANDS[words].params):
        row = by_name.get(str(parameter.name))
        if row is not None and row.flag is not None and not parameter.hidden:  # a hidden one only says that it cannot
            assert row.flag in parameter.opts
            assert row.help in parameter.help
            assert row.variable in parameter.help


def test_text_is_shown_as_it_stands() -> None:
    """Markdown would make emphasis of stars and of two underscores, and tags of angle brackets."""
    assert cell("leave out *.md, __pycache__/ | `a*b`\n<x>") == r"leave out \*.md, \_\_pycache\_\_/ \| `a*b` &lt;x>"
    assert cell("`--recall dense|hybrid`") == "<code>--recall dense&#124;hybrid</code>"
    assert prose("One\nline.\n\nTwo\n*lines*.") == "One line.\n\nTwo \\*lines\\*."


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "integer", "minimum": 1.0, "maximum": 1000.0}, "whole number (at least 1, at most 1,000)"),
        ({"anyOf": [{"$ref": "#/components/schemas/Depth"}, {"type": "null"}]}, "[Depth](#depth) or null"),
        ({"type": "array", "items": {"type": "string"}}, "list of text"),
        ({"type": "string", "format": "date-time"}, "date and time (RFC 3339)"),
        ({"enum": ["a", "b"]}, "`a` or `b`"),
        ({"anyOf": [{"type": "boolean"}, {"const": "always"}]}, "true or false or `always`"),
        ({}, "any value"),
    ],
)
def test_types_are_told_in_words(schema: dict[str, Any], said: str) -> None:
    """What JSON schema says, for a reader who does not know it."""
    assert kind_of(schema) == said


def test_limits_stand_in_the_order_of_the_code() -> None:
    """So that related limits stand together."""
    text = committed("limits.md")
    places = [text.index(f"| `{name}` |") for name in limits.names()]
    assert all(before < after for before, after in pairwise(places))
