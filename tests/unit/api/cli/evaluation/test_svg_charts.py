"""Charts stay within their frame, whatever the figures."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from winnow.api.cli.evaluation.svg_charts import (
    HEIGHT,
    WIDTH,
    Point,
    Series,
    line_chart,
    nice_ticks,
    scatter_chart,
    stage_chart,
)

NUMBER = re.compile(r' (?:c?x|x1|x2|c?y|y1|y2)="(-?[0-9.]+)"')


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.booleans())
def test_ticks_are_few_and_enclose_the_values(low: float, span: float, is_count: bool) -> None:  # noqa: FBT001
    high = low + span
    found = nice_ticks(low, high, is_count=is_count)
    slack = 1e-6 * max(1.0, abs(low), abs(high))
    assert found[0] <= low + slack
    assert found[-1] >= high - slack
    assert 2 <= len(found) <= 7
    assert len(set(found)) == len(found)


@given(st.lists(st.tuples(st.floats(0, 5_000), st.floats(0, 1)), min_size=1, max_size=12))
def test_points_and_names_stay_in_the_frame(drawn: list[tuple[float, float]]) -> None:
    points = [
        Point(name="run " * 9, x=ms, x_end=ms * 1.5, y=value, colour=place) for place, (ms, value) in enumerate(drawn)
    ]
    chart = scatter_chart(points, x_label="ms", y_label="nDCG", title="t")
    assert all(0 <= float(each) <= max(WIDTH, HEIGHT) for each in NUMBER.findall(chart))
    assert chart.count("<circle") == len(points)


@given(st.sampled_from(["混合检索加重排" * 6, "a wide setting " * 4]), st.floats(0, 5_000))
def test_a_name_of_any_width_stays_in_the_frame(name: str, ms: float) -> None:
    """A Chinese character is as wide as two letters."""
    points = [Point(name=name, x=ms, x_end=5_000.0, y=0.5, colour=0)]
    chart = scatter_chart(points, x_label="ms", y_label="nDCG", title="t")
    (x, anchor, shown) = re.findall(r'<text x="([0-9.]+)"[^>]* text-anchor="(\w+)" class="mark c0">([^<]+)<', chart)[0]
    width = 6.4 * sum(2 if "一" <= each <= "龥" else 1 for each in shown)
    left, right = (float(x) - width, float(x)) if anchor == "end" else (float(x), float(x) + width)
    assert 0 <= left < right <= WIDTH


def test_a_line_has_a_point_at_each_place() -> None:
    """Lines of different lengths share one axis, and equal values are no division by zero."""
    series = [Series(name="a", x=[1, 10, 100], y=[0.5, 0.5, 0.5], colour=0), Series(name="b", x=[1], y=[0.5], colour=9)]
    chart = line_chart(series, x_label="depth", y_label="nDCG", title="t")
    assert chart.count("<circle") == 4
    assert "dashed" in chart


def test_stages_stand_one_behind_the_other() -> None:
    chart = stage_chart([("a", [("embed", 1.0), ("rerank", 3.0)]), ("b", [("embed", 0.0)])], x_label="ms", title="t")
    bars = re.findall(r'x="([0-9.]+)" y="[0-9.]+" width="([0-9.]+)" height="10" class="stage', chart)
    (_, _), (_, _), (start, first), (behind, second), (_, none) = [(float(x), float(width)) for x, width in bars]
    assert behind == round(start + first, 1)
    assert second / first == 3
    assert none == 0
