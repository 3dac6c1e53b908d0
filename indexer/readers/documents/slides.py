"""Parses PowerPoint files (PPTX).

Each slide is read in reading order: title, other placeholders, then shapes by rows from top left to bottom right, with
groups, tables, charts (title and cached values), SmartArt and notes. Hidden slides are read and marked. Left out: date,
footer and slide number (they repeat on each slide), comments, and what only the layout shows. The section is the
slide's title, below the name of its section in PowerPoint if that has one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from lxml import etree

from winnow.indexer.corpus import Refused
from winnow.indexer.readers.documents.cell_values import plain_number
from winnow.indexer.readers.documents.outline import Outline
from winnow.indexer.readers.documents.package import (
    Package,
    Relationship,
    attribute,
    child,
    core_properties,
    descendants,
    local_name,
    open_package,
    relation,
)
from winnow.indexer.readers.parser import Parsed, SourceFile, Unparsable
from winnow.retrieval.records import Location

SLIDES_MAX: Final = 10_000  # slides of a file
_POINTS_MAX: Final = 10_000  # points of a chart's series
_WHAT: Final = "a PowerPoint presentation (PPTX)"
_LINE_HEIGHT: Final = 200_000  # EMU, half a centimetre; shapes whose tops differ by less stand in one row
_REPEATED: Final = frozenset({"dt", "ftr", "sldNum", "hdr", "sldImg"})  # placeholders
_TITLES: Final = frozenset({"title", "ctrTitle"})
_DEFAULT_SECTIONS: Final = frozenset(
    {"default section", "untitled section", "默认节", "无标题节", "預設章節", "未命名的章節"}
)
_HIDDEN: Final = "(hidden slide)"
_NOTES: Final = "Notes: "


@dataclass(slots=True, kw_only=True)
class _Slide:
    """One slide while it is read."""

    package: Package
    related: dict[str, Relationship]
    outline: Outline
    has_picture: bool = False

    def read(self, tree: etree._Element) -> None:
        for shape in _in_reading_order(tree):
            name = local_name(shape)
            if name == "grpSp":
                self.read(shape)
            elif name == "graphicFrame":
                self._frame(shape)
            elif name in {"sp", "cxnSp"}:
                self.outline.paragraph(_text(shape))
            elif name == "pic":
                self.has_picture = True

    def _frame(self, frame: etree._Element) -> None:
        data = child(frame, "graphic", "graphicData")
        for content in data if data is not None else ():
            name = local_name(content)
            if name == "tbl":
                self.outline.rows(_table(content))
            elif name == "chart":
                self._chart(relation(content))
            elif name == "relIds":
                self._diagram(relation(content, "dm"))
            else:
                self.has_picture = True  # an embedded object shows a picture of itself

    def _chart(self, identifier: str) -> None:
        root = self._part(identifier)
        chart = child(root, "chart")
        if chart is None:
            return
        title = child(chart, "title")
        self.outline.paragraph(_paragraphs(title) if title is not None else "")
        series = list(descendants(chart, "ser"))
        categories = _points(_first(series[0], "cat", "xVal")) if series else {}
        columns = [
            {place: plain_number(value) or value for place, value in _points(_first(each, "val", "yVal")).items()}
            for each in series
        ]
        names = [next(iter(_points(child(each, "tx")).values()), "") for each in series]
        numbers = sorted({*categories, *(number for column in columns for number in column)})
        rows = [[categories.get(each, ""), *(column.get(each, "") for column in columns)] for each in numbers]
        self.outline.rows([["", *names], *rows])

    def _diagram(self, identifier: str) -> None:
        root = self._part(identifier)
        for point in descendants(root, "pt") if root is not None else ():
            text = child(point, "t")
            if text is not None and attribute(point, "type") in {None, "node", "asst", "doc"}:
                self.outline.paragraph(_paragraphs(text), gap="\n")

    def _part(self, identifier: str) -> etree._Element | None:
        found = self.related.get(identifier)
        return self.package.tree(found.target) if found is not None and found.target in self.package else None


def parse(source: SourceFile) -> Iterator[Parsed]:
    """Yield the document of a presentation; report slides that cannot be read, or have pictures but no text."""
    outline = Outline()
    pictures: list[int] = []
    with open_package(source.path, _WHAT) as package:
        member, root = package.main("presentation", _WHAT)
        related = package.relationships(member)
        sections = _section_names(root)
        entries = [each for each in descendants(root, "sldId") if relation(each)]
        if len(entries) > SLIDES_MAX:
            raise Unparsable(f"the file has {len(entries):,} slides; at most {SLIDES_MAX:,} are read. Split it")
        for number, entry in enumerate(entries, start=1):
            found = related.get(relation(entry))
            section = sections.get(entry.get("id") or "", "")
            outline.begin((section,) if section else (), Location(slide=number))
            try:
                if not _read_slide(package, found.target if found else "", outline):
                    pictures.append(number)
            except Unparsable as error:
                yield Refused(reason=f"slide {number}: {error}", id=f"{source.name}#{number}")
        properties = core_properties(package)
    if pictures:
        numbers = ", ".join(map(str, pictures))
        yield Refused(reason=f"slides with pictures but no text: {numbers}", id=f"{source.name}#pictures")
    yield outline.document(source.name, title=properties.title, metadata=properties.metadata)


def _read_slide(package: Package, member: str, outline: Outline) -> bool:
    """Add a slide; False if it has pictures, but no text."""
    root = package.tree(member)
    related = package.relationships(member)
    tree = child(root, "cSld", "spTree")
    if tree is None:
        return True
    slide = _Slide(package=package, related=related, outline=outline)
    title = next((each for each in tree if _placeholder(each) in _TITLES), None)
    if title is not None:
        outline.heading(1, _text(title))
        tree.remove(title)
    if root.get("show") in {"0", "false"}:
        outline.paragraph(_HIDDEN)
    slide.read(tree)
    for notes in package.related(member, "notesSlide"):
        shapes = child(package.tree(notes), "cSld", "spTree")
        text = "\n".join(filter(None, map(_text, _in_reading_order(shapes)))) if shapes is not None else ""
        outline.paragraph(f"{_NOTES}{text}" if text else "")
    return not outline.is_empty or not slide.has_picture


def _section_names(presentation: etree._Element) -> dict[str, str]:
    """Return the names of PowerPoint's sections by their slides' ids."""
    names: dict[str, str] = {}
    for section in descendants(presentation, "section"):
        name = " ".join((section.get("name") or "").split())
        if name.lower() not in _DEFAULT_SECTIONS:
            names |= {each.get("id") or "": name for each in descendants(section, "sldId")}
    return names


def _in_reading_order(tree: etree._Element) -> list[etree._Element]:
    """Return the shapes of a slide or group: placeholders first, then row by row, from left to right."""
    placed: list[tuple[int, int, int, etree._Element]] = []
    for each in tree:
        shape = each[0][0] if local_name(each) == "AlternateContent" and len(each) and len(each[0]) else each
        kind = _placeholder(shape)
        if kind not in _REPEATED:
            x, y = _position(shape)
            placed.append((0 if kind is not None else 1, y, x, shape))
    placed.sort(key=lambda each: each[:2])
    lines: list[tuple[int, int, int, etree._Element]] = []  # with the top of the row in place of their own
    for rank, y, x, shape in placed:
        joins = lines and lines[-1][0] == rank and y - lines[-1][1] < _LINE_HEIGHT
        lines.append((rank, lines[-1][1] if joins else y, x, shape))
    return [shape for *_, shape in sorted(lines, key=lambda each: each[:3])]


def _position(shape: etree._Element) -> tuple[int, int]:
    """Return left and top in EMU; a placeholder that has the layout's place comes before all others."""
    offset = child(shape, "spPr", "xfrm", "off")
    for path in (("grpSpPr", "xfrm", "off"), ("xfrm", "off")):
        offset = child(shape, *path) if offset is None else offset
    try:
        return (-1, -1) if offset is None else (int(offset.get("x") or 0), int(offset.get("y") or 0))
    except ValueError:
        return -1, -1


def _placeholder(shape: etree._Element) -> str | None:
    """Return the kind of a placeholder; None for any other shape."""
    for properties in shape:
        found = child(properties, "nvPr", "ph")
        if found is not None:
            return found.get("type") or "obj"
    return None


def _text(shape: etree._Element) -> str:
    body = child(shape, "txBody")
    return _paragraphs(body) if body is not None else ""


def _paragraphs(element: etree._Element) -> str:
    """Return the paragraphs of a text body, one a line."""
    return "\n".join(filter(str.strip, ("".join(_inline(each)) for each in descendants(element, "p"))))


def _inline(element: etree._Element) -> Iterator[str]:
    for each in element:
        name = local_name(each)
        if name == "t":
            yield each.text or ""
        elif name == "br":
            yield "\n"
        elif name == "AlternateContent":
            yield from _inline(each[0]) if len(each) else ()
        else:
            yield from _inline(each)


def _table(table: etree._Element) -> list[list[str]]:
    """Return a table's cells. A cell that spans columns stands once, one that spans rows in each of them."""
    rows: list[list[str]] = []
    for row in (each for each in table if local_name(each) == "tr"):
        cells: list[str] = []
        for cell in (each for each in row if local_name(each) == "tc"):
            continues = cell.get("vMerge") in {"1", "true"} and rows and len(cells) < len(rows[-1])
            cells.append(rows[-1][len(cells)] if continues else _text(cell))
        rows.append(cells)
    return rows


def _first(element: etree._Element, *names: str) -> etree._Element | None:
    return next((each for each in element if local_name(each) in names), None)


def _points(element: etree._Element | None) -> dict[int, str]:
    """Return the cached values of a chart's reference by their places."""
    if element is None:
        return {}
    points = {}
    for each in descendants(element, "pt"):
        place, value = each.get("idx") or "", child(each, "v")
        if place.isdecimal() and int(place) < _POINTS_MAX and value is not None:
            points[int(place)] = value.text or ""
    return points
