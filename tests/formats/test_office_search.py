"""`winnow index FOLDER` and `winnow search` cite the facts of Office files and books at their places."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.formats import test_docx, test_epub, test_pptx, test_xlsx
from tests.formats.facts import FACTS, Fact, chapters, sections
from tests.tiny_models import write_embedder
from winnow.api.cli.main import app

ASKED = FACTS[::9]  # of every chapter


def run(*words: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, list(words))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def flags(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Index a folder of one file for each format; return the flags that name the collection."""
    folder = tmp_path_factory.mktemp("office")
    (folder / "files").mkdir()
    test_docx.write(folder / "files" / "facts.docx")
    test_pptx.write(folder / "files" / "facts.pptx")
    test_xlsx.write(folder / "files" / "facts.xlsx")
    test_epub.write(folder / "files" / "facts.epub", version=3, levels=2)
    model = write_embedder(folder / "model")
    flags = ["--collection", "c", "--data", str(folder / "data"), "--embed-model", str(model), "--json"]
    report = run("index", str(folder / "files"), *flags)
    assert (report["added"], report["rejected"]) == (4, 0)
    return flags


@pytest.mark.parametrize("fact", ASKED, ids=lambda fact: fact.id)
def test_a_result_cites_the_place_of_its_fact(flags: list[str], fact: Fact):
    found = run("search", fact.text, "--recall", "lexical", "--no-rerank", "--top-k", "20", *flags)
    results = {each["document_id"]: each for each in reversed(found["results"]) if fact.text in each["text"]}
    assert set(results) == {"facts.docx", "facts.epub", "facts.pptx", "facts.xlsx"}
    for name in ("facts.docx", "facts.epub", "facts.pptx"):
        assert tuple(results[name]["section"]) == fact.section
    assert results["facts.docx"]["location"] == {}
    place = [section for section, _ in sections()].index(fact.section)
    assert results["facts.pptx"]["location"] == {"slide": place + 2}
    anchor = f"OEBPS/text/c{place // 2 + 1}.xhtml#s{place % 2 + 1}"
    assert results["facts.epub"]["location"] == {"anchor": anchor}
    location = results["facts.xlsx"]["location"]
    parts = next(parts for chapter, parts in chapters() if chapter == fact.section[0])
    row = 5 + [each for _, facts in parts for each in facts].index(fact)
    assert location["sheet"] == fact.section[0]
    lines = results["facts.xlsx"]["text"].strip("\n").split("\n")
    assert location["row"] + next(n for n, line in enumerate(lines) if fact.text in line) == row <= location["row_end"]
