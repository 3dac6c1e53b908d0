"""The explanations: every decision in the same form and in the index, every link with an end."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
DECISIONS = DOCS / "explanation" / "decisions"
RECORDS = sorted(path for path in DECISIONS.glob("*.md") if path.name != "index.md")
PAGES = [*sorted((DOCS / "explanation").glob("*.md")), DOCS / "glossary.md", DECISIONS / "index.md", *RECORDS]


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_a_decision_says_why_what_and_what_follows(record: Path) -> None:
    """In this order; numbered as its file is."""
    text = record.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    assert headings[1:] == ["Context", "Decision", "Consequences"]
    assert headings[0].startswith(f"{int(record.name[:4])}. ")
    assert all(section.strip() for section in re.split(r"^## .+$", text, flags=re.MULTILINE))


def test_the_index_lists_every_decision() -> None:
    """With its title, in order; a number is given once."""
    titles = [path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ") for path in RECORDS]
    listed = re.findall(r"^- \[(.+)\]\((.+)\)$", (DECISIONS / "index.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert listed == list(zip(titles, [path.name for path in RECORDS], strict=True))
    assert [int(path.name[:4]) for path in RECORDS] == list(range(1, len(RECORDS) + 1))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_links_lead_to_pages_of_the_documentation(page: Path) -> None:
    """A page that is renamed takes its links along."""
    linked = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in linked if not (page.parent / link).is_file()] == []


def test_the_glossary_is_in_alphabetical_order_and_has_both_languages() -> None:
    """One line for each term, so that nobody defines one twice."""
    rows = re.findall(
        r"^\| (.+?) \| (.+?) \| (.+?) \|$", (DOCS / "glossary.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    terms = [term for term, _, _ in rows[2:]]
    assert terms == sorted(set(terms), key=str.casefold)
    assert len(terms) > 40
