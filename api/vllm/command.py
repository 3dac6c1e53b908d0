"""Builds the command line of a vLLM server, with a reason for every flag. Pure.

Whatever starts a server (`winnow serve --spawn-vllm`, a shell, a compose file, a unit file) gets its command line from
here, so they all serve the same scores.

Rule 1: every flag has its reason.
Rule 2: only flags that both vLLM 0.24 and 0.32 know.
Rule 3: prefix caching is vLLM's default for these models and stays on: through it, the part that a request's prompts
share is computed once. Nothing here may set it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from winnow.api.settings import Front, Quantization
from winnow.api.trace_variables import PROTOCOL
from winnow.api.vllm.machine import Machine
from winnow.api.vllm.memory import Load, Place, place_servers, refusal
from winnow.api.vllm.model import Role, Served
from winnow.rerank.server_check import RERANKER_HEAD
from winnow.retrieval.errors import SettingInvalid

FRONT: Final = Path(__file__).with_name("front") / "server.py"  # run by its path, in a Python without winnow
SERVER: Final = "vllm.entrypoints.openai.api_server"  # what `vllm serve` runs; the CPU build lacks that command
VISIBLE_GPUS: Final = "CUDA_VISIBLE_DEVICES"
BATCHED_TOKENS: Final = 16_384  # 100 passages of 512 tokens take 3 % less time than at vLLM's default of 8,192
BATCHED_TOKENS_BY_FRONT: Final = 32_768  # behind our own front, if memory allows: 3 % more documents of 16 requests
GRAPH_TOKENS_BY_FRONT: Final = 4_096  # the largest step that our front captures as a CUDA graph
BATCHED_TOKENS_ON_CPU: Final = 2_048  # vLLM's default there; startup runs one full step, which takes a while on a CPU
_PER_CHANNEL: Final = "to eight bits while loading, with a scale per row; inputs one per token"
ONLINE_QUANTIZATION: Final[dict[Quantization, tuple[str, str]]] = {  # vLLM's name, and what it does
    "fp8": ("fp8_per_channel", _PER_CHANNEL),  # as fast as a scale per matrix, and loses less (bench/RESULTS.md)
    "fp8-per-tensor": ("fp8", "to eight bits while loading, with a scale per matrix"),
    "fp8-per-channel": ("fp8_per_channel", _PER_CHANNEL),
    "fp8-per-block": ("fp8_per_block", "to eight bits while loading, with a scale per 128 x 128 weights"),
}
FP8_CAPABILITY: Final = (8, 9)  # Ada and Hopper multiply in fp8; older GPUs would only unpack it, slower than before
BFLOAT16_CAPABILITY: Final = (8, 0)
DTYPES: Final = ("float32", "bfloat16", "float16")


class Shortage(StrEnum):
    """Which memory was short, from vLLM's log."""

    CACHE = "cache"  # its share was too small for the cache: a smaller share would make it worse
    TAKEN = "taken"  # the GPU had less free memory than the share


SIGNS: Final = (
    ("No available memory for the cache blocks", Shortage.CACHE),
    ("larger than the available KV cache memory", Shortage.CACHE),
    ("is less than desired", Shortage.TAKEN),  # "Free memory on device ..."
    ("allocation is less than requested memory for kv", Shortage.TAKEN),  # the CPU build's wording
    ("torch.OutOfMemoryError", Shortage.TAKEN),
    ("torch.cuda.OutOfMemoryError", Shortage.TAKEN),
    ("CUDA out of memory", Shortage.TAKEN),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One command-line flag."""

    text: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VllmCommand:
    """How to start one server. The Python that has vllm precedes `argv`."""

    role: Role
    model: str
    flags: tuple[Flag, ...]
    environment: tuple[tuple[str, str], ...]
    place: Place
    front: Path | None = None  # program that replaces vLLM's own server

    @property
    def arguments(self) -> tuple[str, ...]:
        """The flags as text, without the model."""
        return tuple(flag.text for flag in self.flags)

    @property
    def program(self) -> tuple[str, ...]:
        """What that Python runs."""
        return (str(self.front),) if self.front else ("-m", SERVER)

    @property
    def argv(self) -> tuple[str, ...]:
        return (*self.program, f"--model={self.model}", *self.arguments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Choices of the operator; the rest follows from the model and the machine."""

    quantization: Quantization = "none"
    dtype: str | None = None
    tensor_parallel: int | None = None  # None: as many GPUs as needed
    share: float | None = None  # of GPU memory; None: planned
    host: str = "127.0.0.1"
    front: Front = "vllm"
    traces: str | None = None  # URL to which the servers send their spans


def plan_commands(
    served: Sequence[Served], machine: Machine, wanted: Wanted, *, ports: Sequence[int]
) -> tuple[VllmCommand, ...]:
    """Plan a command for each model; models planned together share the machine. Raises `SettingInvalid`."""
    for batched_tokens in (BATCHED_TOKENS, 0):  # a smaller step needs less memory, but must hold one window
        loads = [_load(each, machine, wanted, batched_tokens) for each in served]
        places = _places(loads, machine, wanted)
        if places is not None:
            return tuple(
                _command(load, place, machine, wanted, port)
                for (load, place), port in zip(_with_larger_steps(loads, places, machine, wanted), ports, strict=True)
            )
    raise SettingInvalid(refusal(loads, machine, split=wanted.tensor_parallel))


def _with_larger_steps(
    loads: Sequence[Load], places: tuple[Place, ...], machine: Machine, wanted: Wanted
) -> Iterator[tuple[Load, Place]]:
    """Use larger steps behind our own front, if memory allows and no model needs another GPU for it."""
    larger = [replace(load, batched_tokens=max(load.batched_tokens, BATCHED_TOKENS_BY_FRONT)) for load in loads]
    found = _places(larger, machine, wanted) if wanted.front == "winnow" and machine.gpus else None
    if found is None or any(len(new.gpus) > len(old.gpus) for new, old in zip(found, places, strict=True)):
        return zip(loads, places, strict=True)
    return zip(larger, found, strict=True)


def shrink(command: VllmCommand, shortage: Shortage) -> VllmCommand:
    """Shrink a server after memory ran out: uncompiled, and with half the step.

    The context stays: prompts are cut to it, and the service rejects a server that refuses some of them. On a GPU a
    step stays at least as long as the context, since vLLM before 0.26 may score an input wrongly that takes several
    steps.
    """
    lengths = dict(each.text.split("=", 1) for each in command.flags if "=" in each.text)
    least = int(lengths["--max-model-len"]) if command.place.gpus else 0
    flags = []
    for flag in command.flags:
        name, _, value = flag.text.partition("=")
        if name == "--max-num-batched-tokens":
            step = max(int(value) // 2, least)
            flags.append(Flag(text=f"{name}={step}", reason=f"reduced from {value}: memory ran out"))
        elif name == "--gpu-memory-utilization" and shortage is Shortage.TAKEN:
            share = command.place.share_least
            flags.append(Flag(text=f"{name}={share:.2f}", reason="the minimum for a start"))
        elif name != "--enforce-eager":
            flags.append(flag)
    flags.append(Flag(text="--enforce-eager", reason="captured graphs take a gigabyte or more"))
    return replace(command, flags=tuple(flags))


def _places(loads: Sequence[Load], machine: Machine, wanted: Wanted) -> tuple[Place, ...] | None:
    if wanted.share is None:
        return place_servers(loads, machine, split=wanted.tensor_parallel)
    if not machine.gpus:
        raise SettingInvalid("a share of GPU memory is set, but this machine has no GPU")
    if wanted.share * len(loads) > 1:
        raise SettingInvalid(f"{len(loads)} servers cannot have {wanted.share} of one GPU each")
    by_hand = Place(gpus=machine.gpus[: wanted.tensor_parallel or 1], share=wanted.share, share_least=wanted.share)
    return tuple(by_hand for _ in loads)


def _load(served: Served, machine: Machine, wanted: Wanted, batched_tokens: int) -> Load:
    dtype = wanted.dtype or _dtype(machine)
    if dtype not in DTYPES:
        raise SettingInvalid(f"dtype {dtype} is for models in this process; vLLM needs one of {', '.join(DTYPES)}")
    if wanted.quantization != "none":
        refuse_quantization(wanted.quantization, machine, dtype=dtype)
        if served.stored_bytes is not None:
            problem = f"already quantised and runs as it is; do not use {wanted.quantization} with it"
            raise SettingInvalid(f"{served.model} is {problem}")
    return Load(
        served=served,
        dtype=dtype,
        quantization=wanted.quantization,
        batched_tokens=max(batched_tokens, served.window) if machine.gpus else BATCHED_TOKENS_ON_CPU,
        window=served.window,
        graph_tokens=GRAPH_TOKENS_BY_FRONT if machine.gpus and wanted.front == "winnow" else 0,
    )


def _dtype(machine: Machine) -> str:
    if not machine.gpus:
        return "float32"
    is_new = min(gpu.capability for gpu in machine.gpus) >= BFLOAT16_CAPABILITY
    return "bfloat16" if is_new else "float16"


def refuse_quantization(quantization: Quantization, machine: Machine, *, dtype: str | None = None) -> None:
    """Raise `SettingInvalid`, naming what the machine or the number type lacks, if vLLM could not quantise there."""
    if not machine.gpus:
        raise SettingInvalid(f"{quantization} needs a GPU, but vLLM runs on the CPU of this machine")
    oldest = min(machine.gpus, key=lambda gpu: gpu.capability)
    if oldest.capability < FP8_CAPABILITY:
        major, minor = oldest.capability
        raise SettingInvalid(
            f"{quantization} needs a GPU of compute capability 8.9 or newer (Ada, Hopper); GPU {oldest.id} "
            f"({oldest.name}) has {major}.{minor}"
        )
    if dtype == "float32":
        raise SettingInvalid(f"{quantization} computes with bfloat16 or float16; do not set --dtype float32 with it")


def _command(load: Load, place: Place, machine: Machine, wanted: Wanted, port: int) -> VllmCommand:
    flags = (*_model_flags(load, wanted), *_device_flags(load, place, wanted), *_server_flags(wanted, port))
    return VllmCommand(
        role=load.served.role,
        model=load.served.model,
        flags=flags,
        environment=tuple(_environment(place, machine, wanted)),
        place=place,
        front=FRONT if wanted.front == "winnow" else None,
    )


def _model_flags(load: Load, wanted: Wanted) -> Iterator[Flag]:
    yield Flag(text="--runner=pooling", reason="returns one number or one vector per input; generates nothing")
    if load.served.role == "rerank":
        yield Flag(
            text=f"--hf-overrides={RERANKER_HEAD}",
            reason="keeps the rows yes and no of the head: one score, sigmoid(logit yes - logit no)",
        )
    reasons = {
        "float32": "exact, and the fastest on a CPU",
        "bfloat16": "the format of the published weights",
        "float16": "this GPU does not support bfloat16",
    }
    yield Flag(text=f"--dtype={load.dtype}", reason="as configured" if wanted.dtype else reasons[load.dtype])
    if load.quantization != "none":
        name, effect = ONLINE_QUANTIZATION[load.quantization]
        yield Flag(text=f"--quantization={name}", reason=f"quantises the layers' weights {effect}")
    yield Flag(text=f"--max-model-len={load.window}", reason="the window to which winnow cuts its prompts")


def _device_flags(load: Load, place: Place, wanted: Wanted) -> Iterator[Flag]:
    yield Flag(
        text=f"--max-num-batched-tokens={load.batched_tokens}",
        # Older compiled vLLMs score wrongly around a step that ends no input (their issue 48831, fixed by a wait for
        # just such steps). With a step no shorter than the window, every step ends at least the first of its inputs.
        reason="fits a usual request in one step or a few, and every input in one"
        if place.gpus
        else "a step that a CPU finishes in seconds",
    )
    if not place.gpus:
        yield Flag(text="--enforce-eager", reason="compiling takes minutes on a CPU, and gains little")
        return
    planned = "all available memory of its GPU" if place.is_alone else "its part of a GPU shared by two servers"
    shared = planned if wanted.share is None else "as configured"
    yield Flag(text=f"--gpu-memory-utilization={place.share:.2f}", reason=shared)
    spread = "it fits on one GPU" if len(place.gpus) == 1 else "it does not fit on fewer GPUs"
    split = "as configured" if wanted.tensor_parallel else spread
    yield Flag(text=f"--tensor-parallel-size={len(place.gpus)}", reason=split)


def _server_flags(wanted: Wanted, port: int) -> Iterator[Flag]:
    yield Flag(text="--seed=0", reason="nothing is sampled; if anything were, it would be reproducible")
    yield Flag(text="--no-enable-log-requests", reason="keeps queries and passages out of the log")
    yield Flag(text="--disable-uvicorn-access-log", reason="a line per call would hide important lines")
    if wanted.traces is not None:
        yield Flag(text=f"--otlp-traces-endpoint={wanted.traces}", reason="its spans join the traces of winnow")
    yield Flag(text=f"--host={wanted.host}", reason="the interface it listens on; it requires no key")
    yield Flag(text=f"--port={port}", reason="the port it listens on")


def _environment(place: Place, machine: Machine, wanted: Wanted) -> Iterator[tuple[str, str]]:
    """Environment variables. HF_HUB_OFFLINE stays as the caller has set it."""
    yield "VLLM_NO_USAGE_STATS", "1"
    if wanted.traces is not None:
        yield "OTEL_SERVICE_NAME", "vllm"
        yield "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", PROTOCOL  # vLLM's own default is gRPC
    if len(machine.gpus) > 1:
        yield VISIBLE_GPUS, ",".join(gpu.id for gpu in place.gpus)
    if not place.gpus:
        yield "VLLM_CPU_KVCACHE_SPACE", str(place.cpu_cache_gib)
