"""Draws charts as SVG that stands in a page: text is text, colours are the page's, nothing is loaded.

A chart is drawn at the width of a phone, so that its text is readable there; a page may show it larger.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from winnow.api.schemas.evaluation import EvalDifferences

WIDTH: Final = 440.0
HEIGHT: Final = 260.0
COLOURS: Final = 8  # of series, which the page defines; a ninth series is dashed
_LEFT, _RIGHT, _TOP, _BOTTOM = 44.0, 14.0, 12.0, 42.0
_TICKS: Final = 5
_FLAT: Final = 1e-6  # values that differ by less, for their size, are drawn as equal
_LABEL_COLUMNS: Final = 22  # a Chinese character takes two
_LABEL_HEIGHT: Final = 14.0
_MOVED_MAX: Final = 40  # farther from its point a name would be read as another's
_LABEL_WIDTH: Final = 6.4  # of a column
_ROW_HEIGHT: Final = 36.0  # of a bar with its name
_TICK_WIDTH: Final = 26.0  # between two labels of the horizontal axis


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A line: the value at each place of a whole number."""

    name: str
    x: Sequence[int]
    y: Sequence[float]
    colour: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A point with what it reaches to the right."""

    name: str
    x: float
    x_end: float
    y: float
    colour: int


def element(tag: str, content: str = "", **attributes: object) -> str:
    """Make an element. `content` is markup; attributes are escaped, and `_` in their names is `-`."""
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_number(value) if isinstance(value, float) else str(value))}"'
        for name, value in attributes.items()
    )
    return f"<{tag}{written}>{content}</{tag}>"


def line_chart(series: Sequence[Series], *, x_label: str, y_label: str, title: str) -> str:
    """Draw lines over whole numbers, which stand at equal distances."""
    places = sorted({each for one in series for each in one.x})
    scale = _Scale.of([each for one in series for each in one.y], low=_TOP, high=HEIGHT - _BOTTOM)
    step = (WIDTH - _LEFT - _RIGHT) / max(1, len(places) - 1)
    x_of = {place: _LEFT + step * number for number, place in enumerate(places)}
    drawn = [scale.grid(), _x_axis([(x_of[each], str(each)) for each in places]), _labels(x_label, y_label)]
    for one in series:
        points = [(x_of[x], scale.at(y)) for x, y in zip(one.x, one.y, strict=True)]
        path = " ".join(f"{_number(x)},{_number(y)}" for x, y in points)
        drawn.append(element("polyline", points=path, class_=f"line {_style(one.colour)}"))
        drawn += [
            element("circle", _tip(f"{one.name}: {value:.4f} at {at}"), cx=x, cy=y, r=3.2, class_=_style(one.colour))
            for (x, y), at, value in zip(points, one.x, one.y, strict=True)
        ]
    return _chart(title, drawn)


def scatter_chart(points: Sequence[Point], *, x_label: str, y_label: str, title: str) -> str:
    """Draw points with their names, and a whisker to `x_end`."""
    scale = _Scale.of([each.y for each in points], low=_TOP + 8, high=HEIGHT - _BOTTOM)
    ticks = nice_ticks(0.0, max((each.x_end for each in points), default=1.0))
    width = (WIDTH - _LEFT - _RIGHT) / (ticks[-1] - ticks[0])
    x_of = [_LEFT + each.x * width for each in points]
    drawn = [
        scale.grid(),
        _x_axis([(_LEFT + each * width, f"{each:g}") for each in ticks]),
        _labels(x_label, y_label),
    ]
    for x, each in zip(x_of, points, strict=True):
        y = scale.at(each.y)
        drawn.append(
            element("line", x1=x, y1=y, x2=_LEFT + each.x_end * width, y2=y, class_=f"whisker {_style(each.colour)}")
        )
        tip = _tip(f"{each.name}: {each.y:.4f} in {each.x:.0f} ms (p90 {each.x_end:.0f} ms)")
        drawn.append(element("circle", tip, cx=x, cy=y, r=5.0, class_=_style(each.colour)))
    drawn += _names(points, x_of, [scale.at(each.y) for each in points])
    return _chart(title, drawn)


def histogram(found: EvalDifferences, *, title: str) -> str:
    """Draw how many queries lost (left) and won (right) how much."""
    counts, edges = found["counts"], found["edges"]
    scale = _Scale.of([0.0, *map(float, counts)], low=_TOP, high=HEIGHT - _BOTTOM, is_count=True)
    width = (WIDTH - _LEFT - _RIGHT) / (edges[-1] - edges[0])
    x_of = [_LEFT + (each - edges[0]) * width for each in edges]
    drawn = [
        scale.grid(),
        _x_axis([(_LEFT + (each - edges[0]) * width, f"{each:+g}" if each else "0") for each in (-1, -0.5, 0, 0.5, 1)]),
        _labels(f"difference in {found['measure']}", "queries"),
    ]
    base = scale.at(0.0)
    for place, count in enumerate(counts):
        if count:
            y, kind = scale.at(float(count)), "loss" if edges[place + 1] <= 0 else "win"
            tip = _tip(f"{count} queries: {edges[place]:+.1f} to {edges[place + 1]:+.1f}")
            drawn.append(
                element(
                    "rect", tip, x=x_of[place] + 1, y=y, width=x_of[place + 1] - x_of[place] - 2, height=base - y,
                    rx=2.0, class_=kind,
                )
            )  # fmt: skip
    middle = _LEFT - edges[0] * width
    drawn.append(element("line", x1=middle, y1=_TOP, x2=middle, y2=base, class_="axis"))
    return _chart(title, drawn)


def stage_chart(rows: Sequence[tuple[str, Sequence[tuple[str, float]]]], *, x_label: str, title: str) -> str:
    """Draw a bar for each row, whose parts stand one behind the other; the name stands above its bar."""
    longest = max(sum(ms for _, ms in stages) for _, stages in rows)
    scale = (WIDTH - 2 * _RIGHT) / max(longest, _FLAT)
    height = _TOP + 12 + len(rows) * _ROW_HEIGHT
    drawn = []
    for number, stage in enumerate(dict.fromkeys(stage for _, stages in rows for stage, _ in stages)):
        x = _RIGHT + number * 80.0
        drawn.append(element("rect", x=x, y=2.0, width=10.0, height=10.0, class_=f"stage-{stage}"))
        drawn.append(element("text", escape(stage), x=x + 15, y=11.0))
    for place, (name, stages) in enumerate(rows):
        y, x = _TOP + 24 + place * _ROW_HEIGHT, _RIGHT
        total = sum(ms for _, ms in stages)
        drawn.append(element("text", f"{escape(_shortened(name))} · {total:.0f} ms", x=x, y=y, class_="name"))
        for stage, ms in stages:
            tip = _tip(f"{name}: {stage} {ms:.1f} ms")
            drawn.append(element("rect", tip, x=x, y=y + 5, width=ms * scale, height=10.0, class_=f"stage-{stage}"))
            x += ms * scale
    return _chart(f"{title}, in {x_label}", drawn, height=height)


def nice_ticks(low: float, high: float, *, is_count: bool = False) -> list[float]:
    """Return round numbers that enclose both, about five."""
    size = max(abs(low), abs(high), 1.0)
    span = high - low if high - low > _FLAT * size else size
    rough = span / (_TICKS - 1)
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(each for each in (1.0, 2.0, 2.5, 5.0, 10.0) if each * magnitude >= rough * 0.999) * magnitude
    if is_count:
        step = max(1.0, math.ceil(step))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(each * step, 10) for each in range(first, max(last, first + 1) + 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    """The vertical axis."""

    ticks: Sequence[float]
    low: float  # place of the largest value; the picture's axis points down
    high: float

    @classmethod
    def of(cls, values: Sequence[float], *, low: float, high: float, is_count: bool = False) -> _Scale:
        found = values or (0.0, 1.0)
        return cls(ticks=nice_ticks(min(found), max(found), is_count=is_count), low=low, high=high)

    def at(self, value: float) -> float:
        share = (value - self.ticks[0]) / (self.ticks[-1] - self.ticks[0])
        return self.high - share * (self.high - self.low)

    def grid(self) -> str:
        lines = [
            element("line", x1=_LEFT, y1=self.at(each), x2=WIDTH - _RIGHT, y2=self.at(each), class_="grid")
            for each in self.ticks
        ]
        names = [
            element("text", f"{each:g}", x=_LEFT - 6, y=self.at(each) + 4, text_anchor="end") for each in self.ticks
        ]
        return "".join(lines + names)


def _x_axis(ticks: Sequence[tuple[float, str]]) -> str:
    """Draw labels from the right, and leave out those without room."""
    base, last = HEIGHT - _BOTTOM, math.inf
    drawn = [element("line", x1=_LEFT, y1=base, x2=WIDTH - _RIGHT, y2=base, class_="axis")]
    for x, name in reversed(ticks):
        if last - x < _TICK_WIDTH:
            continue
        last = x
        drawn.append(element("text", name, x=x, y=base + 16, text_anchor="middle"))
    return "".join(drawn)


def _labels(x_label: str, y_label: str) -> str:
    middle = (_TOP + HEIGHT - _BOTTOM) / 2
    turned = f"rotate(-90 11 {_number(middle)})"
    return element(
        "text", escape(x_label), x=(_LEFT + WIDTH - _RIGHT) / 2, y=HEIGHT - 6, text_anchor="middle", class_="label"
    ) + element("text", escape(y_label), x=11.0, y=middle, text_anchor="middle", transform=turned, class_="label")


def _names(points: Sequence[Point], xs: Sequence[float], ys: Sequence[float]) -> list[str]:
    """Write each name beside its point, moved where another name stands."""
    taken = [(x - 6, x + 6, y + 4) for x, y in zip(xs, ys, strict=True)]  # left, right, base line
    drawn = []
    for place in sorted(range(len(points)), key=lambda each: (ys[each], xs[each])):
        name = points[place].name
        shown = _shortened(name)
        width = _columns(shown) * _LABEL_WIDTH
        is_left = xs[place] + 9 + width > WIDTH - 2
        x = xs[place] - 9 if is_left else xs[place] + 9
        left, right = (x - width, x) if is_left else (x, x + width)
        y = _free(ys[place] - 5, [at for one, other, at in taken if one < right and left < other])
        if y is None:
            continue  # no room: the legend has it
        taken.append((left, right, y))
        anchor = "end" if is_left else "start"
        style = f"mark {_style(points[place].colour)}"
        drawn.append(element("text", escape(shown), x=x, y=y, text_anchor=anchor, class_=style))
    return drawn


def _shortened(name: str) -> str:
    if _columns(name) <= _LABEL_COLUMNS:
        return name
    kept = name
    while _columns(kept) >= _LABEL_COLUMNS:
        kept = kept[:-1]
    return f"{kept}…"


def _columns(text: str) -> int:
    """Columns that a text takes, as in a terminal."""
    return sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)


def _free(wanted: float, taken: Sequence[float]) -> float | None:
    """Return the nearest height, rather below, at which no other text stands."""
    for step in range(_MOVED_MAX):
        for y in (wanted + step, wanted - step):
            if _TOP < y < HEIGHT - _BOTTOM - 3 and all(abs(y - each) >= _LABEL_HEIGHT for each in taken):
                return y
    return None


def _chart(title: str, drawn: Sequence[str], *, height: float = HEIGHT) -> str:
    return element(
        "svg",
        _tip(title) + "".join(drawn),
        viewBox=f"0 0 {_number(WIDTH)} {_number(height)}",
        role="img",
        aria_label=title,
    )


def _tip(text: str) -> str:
    return element("title", escape(text))


def _style(colour: int) -> str:
    return f"c{colour % COLOURS}" + (" dashed" if colour >= COLOURS else "")


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
