"""`winnow instructions` prints the same whether it asks a service or opens the data folder of that service."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.api.cli.client.conftest import Run

SAME = (
    ("list",), ("list", "--json"), ("list", "--built-in"), ("show", "legal"), ("show", "legal@1", "--json"),
    ("show", "legal@2", "--yaml"), ("show", "builtin/legal-statutes"), ("diff", "legal", "1", "2"),
    ("diff", "legal", "1", "2", "--json"), ("export",), ("export", "legal", "--json"), ("default",),
    ("show", "none"), ("show", "legal@9"), ("retire", "legal"), ("delete", "other"), ("publish", "other"),
    ("retire", "legal@9"), ("default", "none"), ("draft", "a b", "text"),
)  # fmt: skip


@pytest.fixture(autouse=True)
def library(remote: Run) -> None:
    """Two versions and a draft, written through the service."""
    assert remote("instructions", "publish", "legal", "Statutes first.", "--note", "v1").code == 0
    assert remote("instructions", "publish", "legal", "Statutes, then cases.").code == 0
    assert remote("instructions", "draft", "legal", "Cases first.").code == 0
    assert remote("instructions", "default", "legal@1").code == 0


def test_both_say_the_same(remote: Run, local: Run) -> None:
    for words in SAME:
        assert remote("instructions", *words) == local("instructions", *words), words


def test_a_draft_lives_at_the_service(remote: Run, local: Run) -> None:
    assert "legal@3 is published." in remote("instructions", "publish", "legal").err
    assert "legal@3 is retired." in remote("instructions", "retire", "legal@3").err
    assert "other@1 is draft." in remote("instructions", "draft", "other", "A text.").err
    assert "The draft of other is deleted." in remote("instructions", "delete", "other").err
    assert "model card" in remote("instructions", "default", "--clear").err
    states = [line.split("\t")[:3] for line in local("instructions", "list").out.splitlines()[1:]]
    assert states == [["legal", "1", "published"], ["legal", "2", "published"], ["legal", "3", "retired"]]


def test_an_export_is_imported_at_the_service(remote: Run, local: Run, tmp_path: Path) -> None:
    file = tmp_path / "library.yaml"
    file.write_text(local("instructions", "export").out.replace("name: legal", "name: moved"), encoding="utf-8")
    assert "3 versions added, 0 already present." in remote("instructions", "import", str(file)).err
    assert "0 versions added, 3 already present." in remote("instructions", "import", str(file)).err
    file.write_text("winnow_instructions: [", encoding="utf-8")
    assert remote("instructions", "import", str(file)).code == 2
