"""Reads the fenced blocks of a Markdown page, with what the comment before each says about it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

COMMENT = re.compile(r"<!--\s*(not run|file|output|exits|service)\b:?\s*(.*?)\s*-->", re.DOTALL)
SHELLS = ("bash", "sh")
SERVE = "winnow serve"  # what the service of the tests was started with
KINDS = {"not run": "not run", "file": "file", "output": "output"}


class UndeclaredBlock(Exception):
    """A block that is neither run nor declared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block."""

    kind: str  # shell, python, serve, file, output, not run
    text: str
    language: str
    line: int  # of its fence, from 1
    argument: str = ""  # the file's name, or the reason for not running
    exits: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page and its blocks, in order."""

    path: Path
    blocks: tuple[Block, ...]
    service: str  # open or keyed


def read_page(path: Path) -> Page:
    text = path.read_text(encoding="utf-8")
    service = "open"
    blocks = []
    directives: dict[str, str] = {}
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type == "html_block":
            directives |= dict(COMMENT.findall(token.content))
            service = directives.pop("service", service)
        elif token.type in ("fence", "code_block"):
            blocks.append(_block(token, directives, path))
            directives = {}
        elif token.type.endswith("_open") and directives:
            raise UndeclaredBlock(f"{path}: the comment {directives} stands before no fenced block")
    return Page(path=path, blocks=tuple(blocks), service=service)


def _block(token: Token, directives: dict[str, str], path: Path) -> Block:
    line = token.map[0] + 1 if token.map else 0
    language = token.info.split(" ")[0]
    common = {"text": token.content, "language": language, "line": line}
    if token.type == "code_block":
        raise UndeclaredBlock(f"{path}:{line}: indent no code, write a fenced block")
    for directive, kind in KINDS.items():
        if directive in directives:
            argument = " ".join(directives[directive].split())
            if not argument and directive != "output":
                raise UndeclaredBlock(
                    f"{path}:{line}: `{directive}` needs {'a reason' if kind == 'not run' else 'a name'}"
                )
            return Block(kind=kind, argument=argument, **common)
    exits = int(directives.get("exits", "0"))
    if language in SHELLS and token.content.strip() == SERVE:
        return Block(kind="serve", **common)
    if language in SHELLS:
        return Block(kind="shell", exits=exits, **common)
    if language == "python":
        return Block(kind="python", exits=exits, **common)
    raise UndeclaredBlock(
        f"{path}:{line}: a block of {language or 'no language'} is not run. Put a comment before it: "
        "<!-- file: NAME -->, <!-- output --> or <!-- not run: REASON -->"
    )
