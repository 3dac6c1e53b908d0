"""The programs of docs/how-to/frameworks.md answer questions with citations and both scores."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.frameworks.conftest import ANSWER, QUESTION

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "frameworks.md"
PROGRAMS: Final = dict(
    re.findall(
        r'^```python title="(\w+_answer\.py)"\n(.*?)^```$', PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
)
CITED: Final = re.compile(r"\[(\d)\] (\S+): (.+) \(relevance (\d\.\d\d), recall score (-?\d\.\d\d)\)")
QUESTIONS: Final = {
    QUESTION: ANSWER,
    "webhook signature never matches although the secret is right": "support-en-008",
}


def test_the_page_has_three_programs() -> None:
    assert sorted(PROGRAMS) == ["haystack_answer.py", "langchain_answer.py", "llama_index_answer.py"]


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_an_answer_cites_its_sources(name: str, url: str, chat_url: str, tmp_path: Path) -> None:
    """The chat model quotes its first and its last source, so both must have arrived in the order of the search."""
    program = tmp_path / name
    addressed = PROGRAMS[name].replace("http://localhost:8000", url).replace("http://localhost:9000/v1", chat_url)
    assert addressed.count("localhost") == 0
    program.write_text(addressed, encoding="utf-8")
    for question, document_id in QUESTIONS.items():
        done = subprocess.run(
            [sys.executable, str(program), question],
            env=dict(os.environ),  # noqa: TID251
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answer, *sources = done.stdout.strip().splitlines()
        cited = [CITED.fullmatch(each) for each in sources]
        assert all(cited), done.stdout
        assert [each[1] for each in cited if each] == ["1", "4"]
        assert re.findall(r"\[(\d)\]", answer) == ["1", "4"]
        first = cited[0]
        assert first is not None
        assert first[2] == document_id
        assert 0.3 < float(first[4]) <= 1
