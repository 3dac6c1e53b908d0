"""README.zh-CN.md: as short as the English one, in its form, with one Chinese term for each thing."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from docs.generate.cli import commands

README = Path(__file__).resolve().parents[2] / "README.zh-CN.md"
LINES_MAX = 150
OTHER_TERMS = {
    "目录数据库": "元数据库",
    "数据文件夹": "数据目录",
    "重排器": "重排模型",
    "重新排序": "重排",
    "评分": "打分",
    "分块": "文本块",
    "嵌入模型": "向量模型",
}  # what is not written, and what is


def lines_outside_code() -> list[str]:
    lines, is_code = [], False
    for line in README.read_text(encoding="utf-8").splitlines():
        is_code ^= line.startswith("```")
        if not is_code and not line.startswith(("    ", "```")):
            lines.append(line)
    return lines


def test_it_is_short() -> None:
    """It covers what README.md covers."""
    assert len(README.read_text(encoding="utf-8").splitlines()) <= LINES_MAX


def test_it_has_the_sections_of_the_english_one() -> None:
    """In the same order, with the same commands: links say where a section leads."""
    english = README.with_name("README.md").read_text(encoding="utf-8")
    chinese = README.read_text(encoding="utf-8")
    assert [text.count("\n## ") for text in (chinese, english)] == [6, 6]
    in_one_name = chinese.replace("page-rerank-zh-desktop", "page-rerank-en-desktop")  # a picture in each language
    linked = [set(re.findall(r"\]\(([^)#]+)", text)) for text in (in_one_name, english)]
    assert linked[0] - {"README.md"} == linked[1] - {"README.zh-CN.md"}


def test_a_paragraph_is_one_line() -> None:
    """Readers show a line break inside Chinese text as a blank."""
    lines = lines_outside_code()
    plain = re.compile(r"[^\s|#\-*0-9<]")
    broken = [after for before, after in itertools.pairwise(lines) if plain.match(before) and plain.match(after)]
    assert broken == []


@pytest.mark.parametrize("other", OTHER_TERMS)
def test_each_thing_has_one_term(other: str) -> None:
    """The glossary's."""
    assert other not in README.read_text(encoding="utf-8"), f"write {OTHER_TERMS[other]}"


def test_every_command_in_it_exists() -> None:
    """With the words that are typed."""
    known = {words for words, _ in commands()}
    groups = {words.rpartition(" ")[0] for words in known}
    typed = re.findall(r"\bwinnow [a-z][a-z-]*(?: [a-z][a-z-]*)?", README.read_text(encoding="utf-8"))
    assert typed
    assert [words for words in typed if not {words, words.rpartition(" ")[0]} & (known | groups - {"winnow"})] == []
