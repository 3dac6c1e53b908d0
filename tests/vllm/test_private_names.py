"""The names of vLLM that our front relies on are in the version under test, and a missing one is found."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.acceptance.conftest import PROJECT
from tests.vllm.private_names import NAMES, faults_of, read_folder
from tests.vllm.servers import PYTHON
from winnow.api.vllm.command import FRONT

CORE: Final = """
class EngineCore:
    def __init__(self):
        self.scheduler = None
        self.batch_queue, self.other = None, None

    def preprocess_add_request(self, request):
        ...

    def add_request(self, request, {parameter}):
        ...
"""


def core_faults(text: str) -> list[str]:
    """Faults of one module's source; the others are not there."""
    found = faults_of(lambda file: text if file == "v1/engine/core.py" else None)
    return [each for each in found if each.startswith("v1/engine/core:")]


@pytest.mark.vllm
def test_the_pinned_version_has_them_all() -> None:
    (folder,) = (Path(PYTHON).parent.parent / "lib").glob("python*/site-packages")
    assert faults_of(read_folder(folder / "vllm")) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (CORE.format(parameter="request_wave=0"), None),
        (CORE.format(parameter="request_wave"), None),
        (CORE.format(parameter="wave"), "its parameters are request, wave"),
        (CORE.format(parameter="request_wave, client"), "it also requires client"),
        (CORE.format(parameter="request_wave, *, client"), "it also requires client"),
        (CORE.format(parameter="request_wave").replace("def add_request", "def put"), "there is no such function"),
        (CORE.format(parameter="request_wave").replace("self.scheduler", "self.plan"), "there is no such name"),
        (CORE.format(parameter="request_wave").replace("EngineCore", "Core"), "there is no class EngineCore"),
        ("", "there is no class EngineCore"),
    ],
)
def test_a_name_that_is_gone_or_called_otherwise_is_found(text: str, fault: str | None) -> None:
    found = [each for each in core_faults(text) if "batch_queue" not in each]
    assert (found == []) if fault is None else all(fault in each for each in found) and found, found


def test_a_module_that_is_gone_is_found() -> None:
    assert len(faults_of(lambda _: None)) == len(NAMES)


def test_the_table_lists_nothing_that_the_front_does_not_use() -> None:
    front = "\n".join(file.read_text(encoding="utf-8") for file in FRONT.parent.glob("*.py"))
    unused = [
        name.said for name in NAMES if name.path.rpartition(".")[2] not in front.replace("LLMEngine(", "__init__")
    ]
    assert unused == []


def test_the_ends_of_the_supported_range_are_those_of_the_project() -> None:
    from tests.vllm.private_names import VERSIONS

    oldest, newest = (tuple(map(int, version.split(".")[:2])) for version in VERSIONS)
    wanted = f"vllm>={oldest[0]}.{oldest[1]},<{newest[0]}.{newest[1] + 1}"
    assert wanted in (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
