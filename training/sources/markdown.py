"""Splits pages in Markdown (and its relatives) into sections: a heading, the headings above it, its text.

Handles what documentation repositories contain: front matter, MDX components, admonitions, shortcodes.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FRONT = re.compile(r"\A\ufeff?\s*(---|\+\+\+)\n(.*?)\n\1\s*\n", re.DOTALL)
_FIELD = re.compile(r"^(\w[\w -]*?)\s*[:=]\s*(.+?)\s*$", re.MULTILINE)
_HEADING = re.compile(r"^(#{1,5})\s+(.*?)\s*#*\s*$")
_SETEXT = re.compile(r"^([^\s#>|`\-=+*].{0,90})\n(={3,}|-{3,}|~{3,}|\^{3,})$", re.MULTILINE)
_ANCHOR = re.compile(r"\s*(\[\[[^\]]*\]\]|\{[/\s]*\*?\s*#?[\w.:/ -]*\*?/?\s*\}|\\?\{#[^}]*\})\s*$")
_NUMBERED = re.compile(
    r"^([\d.．]+\s+|\d+[.．、)]\s*|[一二三四五六七八九十]+、|(example|step) \d+\s*[-:：.]*\s*|"
    r"第[一二三四五六七八九十\d]+[章节步][：:、 ]*)",
    re.IGNORECASE,
)
_SIGNS = re.compile(r"[`*¶]|[\U0001F300-\U0001FAFF\u2600-\u27BF\uFE0F]")
_COMMENT = re.compile(r"<!--.*?-->|\{/\*.*?\*/\}|\{%.*?%\}|\{\{[<%].*?[>%]\}\}", re.DOTALL)
_IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)(\{[^}]*\})?|!\[[^\]]*\]\[[^\]]*\]")
_LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?:[^()]|\([^)]*\))*\)|\[([^\[\]]+)\]\[[^\]]*\]")
_REFERENCE = re.compile(r"^\s*\[[^\]]+\]:\s*\S+.*$", re.MULTILINE)
_TAG = re.compile(r"</?[A-Za-z][\w.:-]*(?:\s[^<>]*)?/?>")
_ADMONITION = re.compile(r"^\s*(:::+.*|!!!\s.*|>\s*\[!\w+\].*|</?Tab.*|import\s.+from\s.+|export\s.+)$", re.MULTILINE)
_RST = re.compile(r":[a-z:]+:`~?([^`<]+)(?:\s*<[^>]*>)?`|``([^`]+)``|`([^`<]+)\s<[^>]*>`__?")
_DIRECTIVE = re.compile(r"^\s*\.\. .*$|^\s*:\w[\w-]*:.*$|^:(label|numref|eqlabel|begin_tab|end_tab)\b.*$", re.MULTILINE)
_MARKS = re.compile(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1")
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[^\n]*\n(.*?\n)[ \t]*(?:```+|~~~+)[ \t]*$", re.MULTILINE | re.DOTALL)
_RULE = re.compile(r"^[ \t]*[-=|:+*_ ]{3,}$", re.MULTILINE)
_PREAMBLE = re.compile(r"^Title: (.+)\n(?:.+\n)*", re.MULTILINE)
_BLANK = re.compile(r"\n\s*\n\s*\n+")


@dataclass(frozen=True, slots=True)
class Section:
    page: str  # title of the page
    above: tuple[str, ...]  # headings between the page and this one
    heading: str  # "" for the text before the first heading
    level: int
    text: str
    date: str | None = None


def plain(text: str) -> str:
    """Remove markup, keep words; code keeps its lines, without the fences."""
    parts = []
    for number, part in enumerate(_FENCE.split(text)):
        parts.append(part if number % 2 else _prose(part))
    return _BLANK.sub("\n\n", html.unescape("".join(parts))).strip()


def _prose(text: str) -> str:
    text = _REFERENCE.sub("", _IMAGE.sub("", _COMMENT.sub("", text)))
    text = _LINK.sub(lambda found: found[1] or found[2] or "", text)
    text = _DIRECTIVE.sub("", _ADMONITION.sub("", text))
    text = _RST.sub(lambda found: found[1] or found[2] or found[3], text)
    text = _TAG.sub("", _MARKS.sub(r"\2", text))
    return _RULE.sub("", text)


def plain_heading(text: str) -> str:
    text = plain(_ANCHOR.sub("", text))
    return _NUMBERED.sub("", _SIGNS.sub("", text)).strip(" #:：.-")


def front_matter(source: str) -> tuple[dict[str, str], str]:
    found = _FRONT.match(source)
    if not found:
        return {}, source
    fields = {name.lower(): value.strip("'\"") for name, value in _FIELD.findall(found[2])}
    return fields, source[found.end() :]


def sections(path: Path) -> list[Section]:
    """Sections in order, including the part before the first heading. An unreadable file has none."""
    source = path.read_text(encoding="utf-8", errors="ignore").replace("\r\n", "\n")
    fields, body = front_matter(source)
    date = re.match(r"\d{4}-\d\d-\d\d", fields.get("date", "") or path.name)
    page = plain_heading(fields.get("title", ""))
    if not page and path.suffix == ".rst" and (found := _PREAMBLE.search(body[:600])):  # a PEP
        page, body = plain_heading(found[1]), body[found.end() :]
    if not page and re.match(r"\d+-|README", path.name):  # an RFC, an enhancement proposal
        named = path.parent.name if path.stem == "README" else path.stem
        page = re.sub(r"^\d+-", "", named).replace("-", " ").replace("_", " ")
    return list(_split(page, date[0] if date else None, _with_hashes(body)))


def _with_hashes(body: str) -> str:
    """Rewrite headings underlined with = or - (Markdown, reStructuredText) with #."""
    marks: dict[str, str] = {}

    def hashed(found: re.Match[str]) -> str:
        marks.setdefault(found[2][0], "#" * (len(marks) + 1))
        return f"{marks[found[2][0]]} {found[1]}"

    return _SETEXT.sub(hashed, body)


def _split(page: str, date: str | None, body: str) -> Iterator[Section]:
    stack: list[tuple[int, str]] = []
    lines: list[str] = []
    fenced = False
    for line in [*body.splitlines(), None]:
        if line is not None and line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        found = _HEADING.match(line) if line is not None and not fenced else None
        if line is not None and not found:
            lines.append(line)
            continue
        level, heading = stack[-1] if stack else (0, "")
        yield Section(page, tuple(name for _, name in stack[:-1]), heading, level, plain("\n".join(lines)), date)
        lines = []
        if found:
            level, heading = len(found[1]), plain_heading(found[2])
            page = page or heading
            stack = [entry for entry in stack if entry[0] < level]
            stack.append((level, heading))
