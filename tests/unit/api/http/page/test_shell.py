"""What Gradio rendered, against the page's own files."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("gradio", reason="the extra `ui` is not installed: the page was not rendered")

from winnow.api.http.page.shell import STATIC, TABS, fragment_path


def test_the_frame_and_the_scripts_have_the_same_tabs() -> None:
    """In the same order; each has its fragment with a section of its name."""
    scripts = re.findall(r'^  \["(\w+)", \w+Tab\],$', (STATIC / "tabs.js").read_text(encoding="utf-8"), re.MULTILINE)
    assert tuple(scripts) == TABS
    for name in TABS:
        assert f'<section class="w-tab" id="{name}">' in fragment_path(name).read_text(encoding="utf-8")
