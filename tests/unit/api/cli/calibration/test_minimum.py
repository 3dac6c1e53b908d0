"""What `winnow search --min-relevance` takes."""

from __future__ import annotations

from winnow.api.cli.calibration.minimum import minimum_field


def test_a_minimum_is_a_number_or_a_word_for_the_body_to_check() -> None:
    assert (minimum_field(None), minimum_field("0.5"), minimum_field("calibrated")) == (None, 0.5, "calibrated")
