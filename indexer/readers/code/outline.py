"""Finds the functions and classes of a source file, with their lines.

Rule 1: no recursion. Nesting may be as deep as the file is long. Rule 2: a definition begins with the comments,
decorators and attributes directly above it. Rule 3: files with syntax errors have an outline, too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from tree_sitter import Node, TreeCursor

from winnow.indexer.readers.code.grammar import KINDS, Kinds, parse_tree, rows_of
from winnow.indexer.readers.code.languages import Language

_NODES_MAX: Final = 2_000_000  # nodes looked at; ordinary code has 3 for each line
_NO_LEAD: Final = -2


@dataclass(slots=True, kw_only=True)
class Definition:
    """A function or class. Rows count from 0; the last one belongs to it."""

    name: str  # its own, dotted if it names its owner: `Client.send` in Go and C++
    is_container: bool  # class, module, namespace
    first: int  # with comments, decorators and attributes above
    own_first: int  # with decorators only
    last: int
    end: int  # byte behind it
    inner: list[Definition] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class _Level:
    """The children of one node, up to the one that is being looked at."""

    row: int = -1  # first row of that node
    row_with_lead: int = -1
    is_wrapper: bool = False
    lead_first: int = 0  # rows of the comments directly above the next child
    lead_last: int = _NO_LEAD
    content_last: int = -1  # last row of what is not a comment

    def with_lead(self, row: int) -> int:
        """The row where a child of this row begins, if the comments above belong to it."""
        if self.is_wrapper or row == self.row:
            return self.row_with_lead
        return self.lead_first if self.lead_last >= row - 1 else row

    def pass_over(self, first: int, last: int, *, is_lead: bool) -> None:
        if not is_lead:
            self.content_last, self.lead_last = last, _NO_LEAD
        elif first > self.content_last:
            if self.lead_last < first - 1:
                self.lead_first = first
            self.lead_last = last


def outline(language: Language, content: bytes) -> list[Definition] | None:
    """Return the outermost definitions in order; None if the text cannot be parsed in time."""
    kinds = KINDS.get(language.name)
    cursor = parse_tree(language, content) if kinds else None
    if cursor is None or kinds is None:
        return None
    found: list[Definition] = []
    around: list[Definition] = []  # the current node, outermost first
    levels = [_Level()]
    for _ in range(_NODES_MAX):
        node = cursor.node
        assert node is not None, "the cursor stands on a node. This is a bug."
        if made := _definition(node, kinds, levels[-1]):
            while around and around[-1].end < made.end:
                around.pop()
            (around[-1].inner if around else found).append(made)
            around.append(made)
        if not _advance(cursor, node, kinds, levels):
            return found
    return None


def _definition(node: Node, kinds: Kinds, level: _Level) -> Definition | None:
    naming = kinds.containers.get(node.type) or kinds.functions.get(node.type)
    first, last = rows_of(node)
    if naming is None or not node.is_named or (last == first and node.type not in kinds.short):
        return None
    name = naming(node)
    if not name:
        return None
    return Definition(
        name=name,
        is_container=node.type in kinds.containers,
        first=level.with_lead(first),
        own_first=level.row if level.is_wrapper else first,
        last=last,
        end=node.end_byte,
    )


def _advance(cursor: TreeCursor, node: Node, kinds: Kinds, levels: list[_Level]) -> bool:
    """Go to the next node that can be a definition; False at the end. Nodes within one row hold none."""
    first, last = rows_of(node)
    is_lead, is_wrapper = node.type in kinds.leads, node.type in kinds.wrappers
    level = levels[-1]
    inner = _Level(row=first, row_with_lead=level.with_lead(first), is_wrapper=is_wrapper)
    level.pass_over(first, last, is_lead=is_lead)
    if (last > first or is_wrapper) and not is_lead and cursor.goto_first_child():
        levels.append(inner)
        return True
    while not cursor.goto_next_sibling():
        if not cursor.goto_parent():
            return False
        levels.pop()
    return True
