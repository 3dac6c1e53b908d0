"""A folder of a program, its notebook and its manual: the answer comes with its function, cell or lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import Command

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

PROGRAM = '''"""Sends parcels."""

RATES = {"letter": 1, "parcel": 7}


class Desk:
    """Where parcels are accepted."""

    def weigh(self, parcel):
        """Measure the weight of a parcel in grams on the scale."""
        grams = self.scale.read(parcel)
        self.log(grams)
        return grams

    # Money goes back to the customer within three days.
    @logged
    def refund(self, parcel):
        """Pay the postage of a lost parcel back to the customer."""
        amount = RATES[parcel.kind]
        self.cash.pay(parcel.owner, amount)
        return amount

    def close(self):
        """Lock the doors and count the money of the day."""
        self.doors.lock()
        self.cash.count()
        return True

    def open(self):
        """Unlock the doors and fill the stamp machine."""
        self.doors.unlock()
        self.machine.fill()
        return True
'''
MANUAL = "Manual\n======\n\nOpening hours\n-------------\n\nThe :term:`desk` opens at seven in the morning.\n"
NOTEBOOK = {
    "cells": [
        {"cell_type": "markdown", "source": "# Figures"},
        {
            "cell_type": "code",
            "source": "# Average delivery time of letters, by country\nprint(mean(days))",
            "outputs": [],
        },
    ],
    "metadata": {},
    "nbformat": 4,
    "nbformat_minor": 5,
}


def test_answers_name_function_cell_and_lines(winnow: Command, tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    (root / "desk.py").write_text(PROGRAM, encoding="utf-8")
    (root / "manual.rst").write_text(MANUAL, encoding="utf-8")
    (root / "figures.ipynb").write_text(json.dumps(NOTEBOOK), encoding="utf-8")
    done = winnow.run("index", str(root), "--collection", "code", "--json")
    assert (done.code, done.json["documents"], done.json["rejected"]) == (0, 3, 0), done.err

    def best(question: str) -> dict[str, Any]:
        result: dict[str, Any] = winnow.run("search", question, "--collection", "code", "--json").json["results"][0]
        return result

    refund = best("How is the postage of a lost parcel paid back?")
    assert (refund["document_id"], refund["section"]) == ("desk.py", ["Desk"])
    assert refund["location"] == {"line": 15, "line_end": 21, "symbol": "Desk.refund"}
    assert "\n".join(PROGRAM.split("\n")[14:21]) == refund["text"].rstrip()
    hours = best("When does the desk open?")
    assert (hours["document_id"], hours["section"]) == ("manual.rst", ["Opening hours"])
    assert hours["location"] == {"line": 1, "line_end": 7}  # with the title, which has no text of its own
    assert "The desk opens at seven" in hours["text"]
    cell = best("average delivery time of letters by country")
    assert (cell["document_id"], cell["location"]) == ("figures.ipynb", {"cell": 2})
