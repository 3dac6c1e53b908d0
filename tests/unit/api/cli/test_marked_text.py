"""Sentences are marked in a terminal, on one line."""

from __future__ import annotations

import pytest

from winnow.api.cli.marked_text import HIT_STYLE, mark_text

TEXT = "Shops open.\nA heron\tfishes.  Parking is free. 退货有权。末尾。"


def spans(*sentences: str) -> list[tuple[int, int]]:
    starts = [TEXT.index(each) for each in sentences]
    return [(start, start + len(each)) for start, each in zip(starts, sentences, strict=True)]


@pytest.mark.parametrize(
    ("marked", "whole", "shown"),
    [
        ((), True, "Shops open. A heron fishes. Parking is free. 退货有权。末尾。"),
        (("A heron\tfishes.",), False, "… [A heron fishes.] …"),
        (("A heron\tfishes.",), True, "Shops open. [A heron fishes.] Parking is free. 退货有权。末尾。"),
        (("Shops open.", "退货有权。"), False, "[Shops open.] A heron fishes. Parking is free. [退货有权。] …"),
        (("末尾。",), False, "… [末尾。]"),
    ],
)
def test_what_carries_the_relevance_is_marked(marked: tuple[str, ...], whole: bool, shown: str) -> None:  # noqa: FBT001
    parts = mark_text(TEXT, spans(*marked), whole=whole)
    assert "".join(f"[{part}]" if style == HIT_STYLE else part for part, style in parts) == shown


def test_control_characters_of_a_passage_do_not_reach_the_terminal() -> None:
    (_, _), (_, _), (hit, _), *_ = mark_text("x\x1b[31my. z", [(0, 9)], whole=True)
    assert "\x1b" not in hit
