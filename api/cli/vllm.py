"""`winnow vllm-command`: print the command line that winnow would start vLLM with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from winnow.api.cli.options import (
    Json,
    with_settings,
)
from winnow.api.cli.terminal import Column, Terminal
from winnow.api.settings import Settings
from winnow.retrieval.errors import SettingInvalid

if TYPE_CHECKING:
    from winnow.api.vllm.command import VllmCommand
    from winnow.api.vllm.formats import Form
    from winnow.api.vllm.machine import Machine
    from winnow.api.vllm.model import Role

PORTS: Final[dict[str, int]] = {"embed": 8001, "rerank": 8002}  # as the settings' help has them
NAMED_GPU_GB: Final = 24.0  # GB; the smallest that holds the usual pair, and shares planned for it hold on larger ones
NAMED_CAPABILITY: Final = "8.9"  # Ada: the oldest that knows every format we print
GPUS_MAX: Final = 64
FLAG_CHARACTERS: Final = 48  # of a flag in the table of reasons


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedGpus:
    """The GPUs of another machine, as far as options describe them."""

    count: int | None
    memory_gb: float | None
    capability: str | None

    @property
    def is_named(self) -> bool:
        return (self.count, self.memory_gb, self.capability) != (None, None, None)


def _option(flag: str, metavar: str, meaning: str, **bounds: Any) -> Any:
    return typer.Option(flag, metavar=metavar, help=meaning, show_default=False, **bounds)


RoleOption = Annotated[
    str | None, _option("--role", "ROLE", "Model to serve: rerank or embed; by default both, on the same machine.")
]
ModelOption = Annotated[
    str | None, _option("--model", "MODEL", "Model of --role; by default --rerank-model or --embed-model.")
]
FormatOption = Annotated[str, _option("--format", "FORM", "Output format: shell (default), argv, compose or systemd.")]
Gpus = Annotated[
    int | None,
    _option("--gpus", "N", "Number of GPUs to plan for, instead of those of this machine.", min=1, max=GPUS_MAX),
]
GpuMemory = Annotated[
    float | None,
    _option("--gpu-memory-gb", "GB", f"Memory of each GPU in GB; by default {NAMED_GPU_GB:.0f}.", min=1),
]
Capability = Annotated[
    str | None, _option("--gpu-capability", "X.Y", f"Compute capability of the GPUs; by default {NAMED_CAPABILITY}.")
]
Spread = Annotated[
    int | None, _option("--tensor-parallel", "N", "Number of GPUs per model; by default as few as possible.", min=1)
]
Share = Annotated[
    float | None,
    _option("--gpu-share", "SHARE", "Share of each GPU's memory to use; planned by default.", min=0.01, max=1.0),
]
Listen = Annotated[str | None, _option("--listen", "ADDRESS", "Address that vLLM listens on; by default 127.0.0.1.")]


@with_settings("rerank_model", "embed_model", "dtype", "quantization", "vllm_python", "vllm_front")
def vllm_command(
    *,
    role: RoleOption = None,
    model: ModelOption = None,
    form: FormatOption = "shell",
    gpus: Gpus = None,
    gpu_memory_gb: GpuMemory = None,
    gpu_capability: Capability = None,
    tensor_parallel: Spread = None,
    gpu_share: Share = None,
    listen: Listen = None,
    json: Json = False,
    settings: Settings,
) -> None:
    """Print the command line of a vLLM server for winnow: for a shell, a compose file or a systemd unit.

    'winnow serve --spawn-vllm' would run the same command on this machine, or on a machine with the GPUs you describe.
    """
    terminal = Terminal(json=json)
    from winnow.api.vllm.command import Wanted, plan_commands
    from winnow.api.vllm.formats import COMPOSE_HOST, COMPOSE_PORT
    from winnow.api.vllm.model import served_by_name

    chosen_form = _form(form)  # before asking the other Python, which takes seconds
    is_composed = chosen_form == "compose"
    named = NamedGpus(count=gpus, memory_gb=gpu_memory_gb, capability=gpu_capability)
    models = _models(settings, role, model)
    machine, python = _machine(terminal, settings, named, is_composed=is_composed)
    commands = plan_commands(
        [served_by_name(each, name) for each, name in models.items()],
        machine,
        Wanted(
            quantization=settings.quantization,
            dtype=settings.dtype,
            tensor_parallel=tensor_parallel,
            share=gpu_share,
            host=listen or (COMPOSE_HOST if is_composed else "127.0.0.1"),
            front="vllm" if is_composed else settings.vllm_front,  # vLLM's image starts its own, and has no other
        ),
        ports=[COMPOSE_PORT if is_composed else PORTS[each] for each in models],
    )
    _print(terminal, commands, chosen_form, python)


def _form(form: str) -> Form:
    from winnow.api.vllm.formats import FORMS

    known = next((each for each in FORMS if each == form), None)
    if known is None:
        raise SettingInvalid(f"--format = {form!r}: it must be one of {', '.join(FORMS)}")
    return known


def _models(settings: Settings, role: str | None, model: str | None) -> dict[Role, str]:
    from winnow.api.vllm.model import ROLES

    chosen = {"rerank": settings.rerank_model, "embed": settings.embed_model}
    if role is None and model is not None:
        raise SettingInvalid("--model needs --role rerank or --role embed")
    roles = [each for each in ROLES if role in (None, each)]
    if not roles:
        raise SettingInvalid(f"--role = {role!r}: it must be one of {', '.join(ROLES)}")
    return {each: model or chosen[each] for each in roles}


def _machine(terminal: Terminal, settings: Settings, named: NamedGpus, *, is_composed: bool) -> tuple[Machine, str]:
    """The machine to plan for, and its Python. A compose file is always for another machine."""
    from winnow.api.vllm.machine import ask_python
    from winnow.api.vllm.process import find_python

    if is_composed or named.is_named:
        return _named(named), settings.vllm_python or "python"
    try:
        found = ask_python(find_python(settings.vllm_python))
    except SettingInvalid as error:
        if settings.vllm_python is not None:
            raise
        terminal.warn(f"Planned for a GPU of {NAMED_GPU_GB:.0f} GB (change it with --gpu-memory-gb): {error.detail}.")
        return _named(named), "python"
    return found.machine, found.python


def _named(named: NamedGpus) -> Machine:
    from winnow.api.vllm.machine import Gpu, Machine

    major, _, minor = (named.capability or NAMED_CAPABILITY).partition(".")
    if not (major.isdigit() and minor.isdigit()):
        raise SettingInvalid(f"--gpu-capability = {named.capability!r}: it must look like {NAMED_CAPABILITY}")
    memory = int((named.memory_gb or NAMED_GPU_GB) * 1e9)
    return Machine(
        gpus=tuple(
            Gpu(id=str(place), memory_bytes=memory, capability=(int(major), int(minor)))
            for place in range(named.count or 1)
        )
    )


def _short(flag: str) -> str:
    """Shorten a long value: the command above has all of it."""
    return flag if len(flag) <= FLAG_CHARACTERS else flag.partition("=")[0] + "=…"


def _print(terminal: Terminal, commands: tuple[VllmCommand, ...], form: Form, python: str) -> None:
    from winnow.api.vllm.formats import describe_command, format_commands

    if terminal.is_json:
        terminal.answer({"commands": [describe_command(command, python=python) for command in commands]})
        return
    terminal.lines(format_commands(commands, form, python=python))
    if terminal.is_rich:
        for command in commands:
            terminal.table(
                [Column(name="flag", style="bold"), Column(name="why", style="dim")],
                [(_short(flag.text), flag.reason) for flag in command.flags],
                title=f"\n{command.model}",
            )
