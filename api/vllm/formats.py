"""Formats a server's command line for a shell, a program, a compose file or a unit file.

Each format has its own quoting (shell words, JSON, YAML single quotes, systemd's rules), so that it reads back as
exactly the same command.
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
COMPOSE_HOST: Final = "0.0.0.0"  # noqa: S104  (inside its container; the compose file does not publish the port)
COMPOSE_PORT: Final = 8000  # each container has its own
_YAML_PLAIN: Final = re.compile(r"--[a-z-]+(=[\w./-]+)?|[A-Za-z][\w./-]*/[\w./-]+")


def format_commands(commands: Sequence[VllmCommand], form: Form, *, python: str) -> str:
    """Format all commands as one text, without a trailing newline."""
    if form == "shell":
        return "\n\n".join(_shell(command, python) for command in commands)
    if form == "argv":
        return "\n".join(json.dumps([python, *command.argv], ensure_ascii=False) for command in commands)
    if form == "compose":
        return "\n".join(["services:", *(line for command in commands for line in _compose(command))])
    return "\n\n".join("\n".join(_systemd(command, python)) for command in commands)


def describe_command(command: VllmCommand, *, python: str) -> dict[str, Any]:
    """One command for --json: everything that a program could need, and the reasons."""
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
    """The part of a compose service that winnow knows: image, volumes and health check are the operator's."""
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
    """Plain if YAML reads it as a string, else in single quotes, where only single quotes are special."""
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
    """Quote one word of a unit file: systemd unquotes, then expands %, $ and backslashes, in single quotes, too."""
    plain = word.replace("\\", "\\\\").replace("%", "%%").replace("$", "$$")
    if plain == word and not set(word) & set(" \t\"'{}[];"):
        return word
    return "'" + plain.replace("'", "\\'") + "'"
