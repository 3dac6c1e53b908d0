"""`winnow collections set-diversity`, and the options of searches that leave out near-identical passages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.fakes import PrefersWord
from tests.unit.api.http.routes.test_routes import parts_over
from winnow.api.cli.main import app
from winnow.api.cli.options import collapse_field
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.records import AS_RANKED, Collapse, Diversity
from winnow.retrieval.tenancy import DEFAULT_TENANT


def run(folder: Path, *words: str) -> str:
    """What the command prints."""
    done = CliRunner().invoke(app, [*words, "--data", str(folder)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_collection_is_set_and_set_back(tmp_path: Path, tokenizer: PlainTokenizer) -> None:
    """Options that are left out are off; what is stored is printed, for people and for programs."""
    parts = parts_over(tmp_path, tokenizer, PrefersWord("a"))
    parts.ingest.make(DEFAULT_TENANT, "docs")
    catalog = parts.disk.catalog.collections
    limits = ("--collapse-cosine", "0.97", "--collapse-shingles", "0.6", "--mmr-lambda", "0.7")
    said = run(tmp_path, "collections", "set-diversity", "docs", *limits)
    assert said == "docs: cosine 0.97, shingles 0.6, MMR lambda 0.7.\n"
    wanted = Diversity(collapse=Collapse(cosine=0.97, shingles=0.6), mmr_lambda=0.7)
    assert catalog.get(DEFAULT_TENANT, "docs").diversity == wanted
    assert "cosine 0.97, shingles 0.6" in run(tmp_path, "collections", "show", "docs")
    answered: dict[str, Any] = json.loads(
        run(tmp_path, "collections", "set-diversity", "docs", "--mmr-lambda", "0", "--json")
    )
    assert answered == {"collection": "docs", "collapse": None, "mmr_lambda": 0.0}
    assert catalog.get(DEFAULT_TENANT, "docs").diversity == Diversity(mmr_lambda=0.0)
    said = run(tmp_path, "collections", "set-diversity", "docs")
    assert said == "docs: near-identical passages are kept, and MMR is off.\n"
    assert catalog.get(DEFAULT_TENANT, "docs").diversity == AS_RANKED


@pytest.mark.parametrize("words", [("--collapse-cosine", "97"), ("--collapse-shingles", "0"), ("--mmr-lambda", "-1")])
def test_a_limit_outside_its_range_changes_nothing(
    tmp_path: Path, tokenizer: PlainTokenizer, words: tuple[str, str]
) -> None:
    """It is refused by name."""
    parts = parts_over(tmp_path, tokenizer, PrefersWord("a"))
    parts.ingest.make(DEFAULT_TENANT, "docs")
    with pytest.raises(InvalidRequest, match=words[0].removeprefix("--").replace("-", "[_.]")):
        CliRunner().invoke(
            app, ["collections", "set-diversity", "docs", *words, "--data", str(tmp_path)], catch_exceptions=False
        )
    assert parts.disk.catalog.collections.get(DEFAULT_TENANT, "docs").diversity == AS_RANKED


def test_options_become_the_field_of_a_request() -> None:
    """Nothing typed leaves the choice to the collection; a limit that is also off is refused."""
    assert collapse_field(None, None, off=False) is None
    assert collapse_field(None, None, off=True) is False
    assert collapse_field(0.97, None, off=False) == {"cosine": 0.97}
    assert collapse_field(0.97, 0.6, off=False) == {"cosine": 0.97, "shingles": 0.6}
    with pytest.raises(InvalidRequest, match="--no-collapse"):
        collapse_field(None, 0.6, off=True)
