"""Finds headings, tables and code of reStructuredText by line. The only module that names docutils.

Only the structure is asked for: text within a paragraph is not parsed, so no role can fail, nothing is fetched, no
other file is read, and no setting comes from a file. Directives that docutils does not know (those of Sphinx) are read
for what stands inside them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from docutils import nodes
from docutils.frontend import get_default_settings
from docutils.parsers.rst import Directive, Parser, directives, roles
from docutils.parsers.rst.states import Inliner
from docutils.utils import new_document

STRUCTURE_WITHIN: Final = 1_000_000  # characters; text further down belongs to the last part: parsing takes 10 s
_LINE_CHARACTERS_MAX: Final = 1_000  # characters of a line that the parser sees; a longer one is no markup
_CODE_NAMES: Final = (
    "code",
    "code-block",
    "sourcecode",
    "highlight-block",
    "testcode",
    "doctest",
    "prompt",
    "parsed-literal",
)
_DIRECTIVE: Final = re.compile(r"^\s*(?:[-*#\d]\S*\s+)?\.\.[ ]+([\w:.+-]+?)[ ]?::", re.MULTILINE)
_BREAKS: Final = re.compile(r"[\x00\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")  # line ends to Python, not to editors
_SETTINGS: Final = {
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "halt_level": 6,  # no message ends the parsing
    "report_level": 6,  # and none is printed
    "line_length_limit": 10 * _LINE_CHARACTERS_MAX,
    "syntax_highlight": "none",
    "smart_quotes": False,
}
# Broken markup makes docutils fail in many ways; its text is worth more than its structure.
_FAULTS: Final = (ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    line: int  # of its text, counted from 0
    level: int  # 1 is the outermost
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeBlock:
    line: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    line: int  # of its first border, or of its directive
    rows: tuple[tuple[int, tuple[str, ...]], ...]  # first line of a row, -1 if unknown; and its cells


@dataclass(slots=True, kw_only=True)
class RstStructure:
    """What a text contains, in the order of its lines."""

    blocks: list[Heading | CodeBlock | Table] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)  # of the list at the top, in lower case


def find_structure(text: str) -> RstStructure:
    """Return the structure; an empty one if the markup is too broken."""
    start = text if len(text) <= STRUCTURE_WITHIN else text[: text.rfind("\n", 0, STRUCTURE_WITHIN) + 1]
    lines = _BREAKS.sub(" ", start).expandtabs(8).split("\n")
    settings = get_default_settings(Parser)
    for name, value in _SETTINGS.items():
        setattr(settings, name, value)
    document = new_document("text", settings)
    names = set(_DIRECTIVE.findall(start))
    try:
        with _known(names):
            Parser(inliner=_NoMarkup()).parse("\n".join(line[:_LINE_CHARACTERS_MAX] for line in lines), document)
        found = RstStructure(fields=_fields(document))
        found.blocks.extend(_blocks(document))
    except _FAULTS:
        return RstStructure()
    found.blocks.sort(key=lambda block: block.line)
    return found


class _NoMarkup(Inliner):
    """Takes a paragraph's text as it is."""

    def init_customizations(self, settings: Any) -> None:
        """Nothing to prepare."""

    def adjust_uri(self, uri: str) -> str:
        return uri

    def parse(self, text: str, *_: Any) -> tuple[list[nodes.Node], list[Any]]:
        return [nodes.Text(text)], []


class _AnyOptions(dict[str, Any]):
    def __getitem__(self, name: str) -> Any:
        return lambda value: value

    def __bool__(self) -> bool:
        return True


class _Foreign(Directive):
    """A directive of another program: what is inside it is read as if it stood outside."""

    has_content = True
    optional_arguments = 1
    final_argument_whitespace = True
    option_spec = _AnyOptions()

    def run(self) -> list[nodes.Node]:
        inside = nodes.container()
        self.state.nested_parse(self.content, self.content_offset, inside)
        return [inside]


class _Code(_Foreign):
    """A directive with code inside."""

    def run(self) -> list[nodes.Node]:
        block = nodes.literal_block("", "\n".join(self.content))
        block.line = self.content_offset + 1
        return [block] if self.content else []


@contextmanager
def _known(names: set[str]) -> Iterator[None]:
    """Know these directives for one file; docutils keeps what a file declares for the whole process."""
    declared = vars(directives)["_directives"], vars(roles)["_roles"]
    kept = [dict(each) for each in declared]
    known_anyway = vars(directives)["_directive_registry"]
    try:
        for name in map(str.lower, names):
            if name.rpartition(":")[2] in _CODE_NAMES:
                directives.register_directive(name, _Code)
            elif name not in known_anyway:
                directives.register_directive(name, _Foreign)
        yield
    finally:
        for each, before in zip(declared, kept, strict=True):
            each.clear()
            each.update(before)


def _blocks(document: nodes.document) -> Iterator[Heading | CodeBlock | Table]:
    levels: dict[int, int] = {}  # of sections, by identity
    for node in document.findall():
        if isinstance(node, nodes.section):
            levels[id(node)] = levels.get(id(node.parent), 0) + 1
        elif isinstance(node, nodes.title) and isinstance(node.parent, nodes.section) and node.line:
            yield Heading(line=node.line - 2, level=levels[id(node.parent)], text=node.astext())
        elif isinstance(node, nodes.system_message | nodes.comment):
            continue
        elif isinstance(node, nodes.literal_block | nodes.doctest_block) and node.line and not _is_message(node):
            yield CodeBlock(line=node.line - 1, last=node.line - 1 + node.astext().count("\n"))
        elif isinstance(node, nodes.table) and node.line:
            yield Table(line=node.line - 1, rows=tuple(map(_row, node.findall(nodes.row))))


def _is_message(node: nodes.Node) -> bool:
    return isinstance(node.parent, nodes.system_message)


def _row(row: nodes.row) -> tuple[int, tuple[str, ...]]:
    lines = [node.line - 1 for node in row.findall(nodes.paragraph) if node.line]
    return min(lines, default=-1), tuple(entry.astext() for entry in row.findall(nodes.entry))


def _fields(document: nodes.document) -> dict[str, str]:
    """The fields at the top, above or below the title."""
    above = [node for node in document.children if not isinstance(node, nodes.comment | nodes.target)]
    while above and isinstance(above[0], nodes.section):
        above = list(above[0].children[1:])
    if not above or not isinstance(above[0], nodes.field_list):
        return {}
    return {
        entry.children[0].astext().lower(): " ".join(entry.children[1].astext().split())
        for entry in above[0].children
        if len(entry.children) > 1
    }
