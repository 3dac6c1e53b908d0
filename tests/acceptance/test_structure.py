"""A handbook and a price list in Markdown: the answer comes with its section and its lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.conftest import Command

pytestmark = pytest.mark.acceptance

HANDBOOK = """---
title: Handbook of Tern
owner: people
---

# Handbook of Tern

## Travel

### Trains

Employees book trains in second class.
Above five hours, first class is allowed.

### Hotels

A night may cost up to 140 euro, in capitals 190 euro.
"""
ROWS = [f"| {name} {number} | {number} euro | shelf {number % 7} |" for number in range(40) for name in ("bolt", "nut")]
PRICES = "\n".join(["# Price list", "", "| part | price | place |", "| --- | ---: | --- |", *ROWS, ""])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "company"
    place.mkdir()
    (place / "handbook.md").write_text(HANDBOOK, encoding="utf-8")
    (place / "prices.md").write_text(PRICES, encoding="utf-8")
    return place


def test_an_answer_is_found_with_its_section_and_lines(winnow: Command, folder: Path) -> None:
    """By default settings: the lines that the answer names hold its text; a table's chunk repeats its column names."""
    assert winnow.run("index", str(folder), "--collection", "co", "--chunk-tokens", "96", "--json").code == 0
    hotel = winnow.run("search", "What may a hotel cost in a capital?", "--collection", "co", "--json").json["results"][
        0
    ]
    assert (hotel["document_id"], hotel["section"], hotel["header"]) == ("handbook.md", ["Travel", "Hotels"], "")
    assert hotel["location"] == {"line": 15, "line_end": 17}
    assert shown(HANDBOOK, hotel["location"]) == hotel["text"].strip()
    part = winnow.run("search", "price of nut 33", "--collection", "co", "--json").json["results"][0]
    assert (part["document_id"], part["header"]) == ("prices.md", "| part | price | place |")
    assert "| nut 33 | 33 euro | shelf 5 |" in part["text"].splitlines()
    assert set(part["text"].splitlines()) <= set(ROWS)
    assert shown(PRICES, part["location"]) == part["text"].strip()
    line = next(line for line in winnow.run("search", "hotel in a capital", "--collection", "co").out.splitlines()[1:])
    assert line.split("\t")[-2:] == ["Travel > Hotels", "lines 15-17"]


def shown(file: str, location: dict[str, int]) -> str:
    """The lines of the file that a location names."""
    return "\n".join(file.split("\n")[location["line"] - 1 : location["line_end"]])
