"""How is a server's command line written for a shell, a compose file, a unit file, a program? Text in four forms.

Each form quotes in its own way, so that what is read back is the command to the letter: a shell's words, JSON, YAML's
single quotes, systemd's own rules.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from typing import Any, Final, Literal

from winnow.api.vllm.command import VISIBLE_GPUS, VllmCommand
from winnow.api.vllm.model import KINDS
from winnow.api.vllm.process import GRACE_SECONDS

Form = Literal["shell", "argv", "compose", "systemd"]
FORMS: Final[tuple[Form, ...]] = ("shell", "argv", "compose", "systemd")
COMPOSE_HOST: Final = "0.0.0.0"  # noqa: S104  (inside its container; the compose file publishes no port of it)
COMPOSE_PORT: Final = 8000  # each container has its own
_YAML_PLAIN: Final = re.compile(r"--[a-z-]+(=[\w./-]+)?|[A-Za-z][\w./-]*/[\w./-]+")


def written(commands: Sequence[VllmCommand], form: Form, *, python: str) -> str:
    """All of them in one text, without the newline at its end."""
    if form == "shell":
        return "\n\n".join(_shell(command, python) for command in commands)
    if form == "argv":
        return "\n".join(json.dumps([python, *command.argv], ensure_ascii=False) for command in commands)
    if form == "compose":
        return "\n".join(["services:", *(line for command in commands for line in _compose(command))])
    return "\n\n".join("\n".join(_systemd(command, python)) for command in commands)


def said(command: VllmCommand, *, python: str) -> dict[str, Any]:
    """For --json: all forms of it that a program could want, and the reasons."""
    return {
        "role": command.role,
        "model": command.model,
        "python": python,
        "argv": list(command.argv),
        "environment": dict(command.environment),
        "gpus": [gpu.id for gpu in command.place.gpus],
        "flags": [{"flag": flag.text, "reason": flag.reason} for flag in command.flags],
    }


def _shell(command: VllmCommand, python: str) -> str:
    words = [f"{name}={shlex.quote(value)}" for name, value in command.environment]
    start = " ".join([*words, shlex.join((python, *command.program))])
    return " \\\n  ".join([start, *map(shlex.quote, command.argv[len(command.program) :])])


def _compose(command: VllmCommand) -> list[str]:
    """The part of a service that is ours to say: its image, volumes and health are the operator's."""
    lines = [f"  {command.role}:", "    command:"]
    lines += [f"      - {_yaml_word(word)}" for word in (command.model, *command.arguments)]
    lines.append("    environment:")
    lines += [f"      {name}: {json.dumps(value)}" for name, value in command.environment if name != VISIBLE_GPUS]
    if any(name == VISIBLE_GPUS for name, _ in command.environment):
        ids = json.dumps([gpu.id for gpu in command.place.gpus])
        device = f"{{driver: nvidia, device_ids: {ids}, capabilities: [gpu]}}"
        lines += ["    deploy:", "      resources:", "        reservations:", f"          devices: [{device}]"]
    return lines


def _yaml_word(word: str) -> str:
    """As it is where it can only be a text, else in single quotes, within which nothing is special but themselves."""
    return word if _YAML_PLAIN.fullmatch(word) else "'" + word.replace("'", "''") + "'"


def _systemd(command: VllmCommand, python: str) -> list[str]:
    start = [_unit_word(word) for word in (python, *command.argv)]
    return [
        f"# winnow-{command.role}.service",
        "[Unit]",
        f"Description=vLLM for winnow's {KINDS[command.role]}",
        "After=network.target",
        "",
        "[Service]",
        *(f"Environment={_unit_word(f'{name}={value}')}" for name, value in command.environment),
        "ExecStart=" + " \\\n  ".join(start),
        "Restart=always",
        "RestartSec=5",
        f"TimeoutStopSec={GRACE_SECONDS:.0f}",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]


def _unit_word(word: str) -> str:
    """One word of a unit file: systemd unquotes, then expands %, $ and backslashes, in single quotes too."""
    plain = word.replace("\\", "\\\\").replace("%", "%%").replace("$", "$$")
    if plain == word and not set(word) & set(" \t\"'{}[];"):
        return word
    return "'" + plain.replace("'", "\\'") + "'"
