"""The page of the command line, from the commands that typer knows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import typer.main

from docs.generate.markdown import anchor, code, prose, table
from winnow.api.cli.main import EPILOG, app

HEAD: Final = """# Command line

"""
COMMON: Final = """- With `--json`, which every command but `winnow serve`, `winnow mcp` and `winnow demo` takes, standard output holds JSON and nothing else. Everything else goes to standard error.
- `--tenant` names the tenant that owns what a command works on: `default` unless it is given. `winnow audit` and `winnow usage` show all tenants unless it is given; `winnow verify` and `winnow doctor` always look at all of them.
- [Settings](settings.md) has the variable and the default of each option that is a setting, [errors](errors.md#exit-codes) the exit codes.

"""


def page() -> str:
    """Every command with its arguments and options."""
    root: Any = typer.main.get_command(app)
    found = dict(commands())
    summary = table(
        ("Command", "What it does"),
        ((f"[`{words}`](#{anchor(words)})", first_sentence(each)) for words, each in found.items()),
    )
    sections = "".join(_section(words, command) for words, command in found.items())
    return f"{HEAD}{prose(root.help)}\n\n{prose(EPILOG)}\n\n{COMMON}{summary}\n{sections}"


def commands(group: Any = None, words: str = "winnow") -> Iterator[tuple[str, Any]]:
    """Every command that can be typed, by its words."""
    parent: Any = group or typer.main.get_command(app)
    for name, command in parent.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{words} {name}")
        else:
            yield f"{words} {name}", command


def first_sentence(command: Any) -> str:
    """The first sentence of a command's help."""
    return prose(command.help).split("\n")[0].split(". ")[0].rstrip(".") + "."


def _section(words: str, command: Any) -> str:
    arguments = [each for each in command.params if not is_option(each)]
    options = [each for each in command.params if is_option(each) and not each.hidden and each.name != "help"]
    usage = " ".join([words, *(("[OPTIONS]",) if options else ()), *map(placeholder, arguments)])
    parts = [f"## {words}\n", f"{code(usage)}\n", f"{prose(command.help)}\n"]
    if arguments:
        parts.append(table(("Argument", "Meaning"), ((code(placeholder(each)), each.help) for each in arguments)))
    for panel in dict.fromkeys(each.rich_help_panel for each in options):
        parts.extend([f"{panel}:\n"] if panel else [])
        rows = (_cells(each) for each in options if each.rich_help_panel == panel)
        parts.append(table(("Option", "Default", "Meaning"), rows))
    return "\n".join(parts) + "\n"


def placeholder(argument: Any) -> str:
    """How usage lines show an argument."""
    shown = argument.metavar or str(argument.name).upper()
    return f"{shown}..." if argument.nargs != 1 and not shown.endswith("...") else shown


def is_option(parameter: Any) -> bool:
    """An option has dashes, an argument a place."""
    return bool(parameter.opts[0].startswith("-"))


def _cells(option: Any) -> tuple[str, str, str]:
    value = "" if option.is_flag else option.metavar or str(option.name).upper()
    spelt = ", ".join(code(f"{name} {value}".strip()) for name in option.opts)
    spelt += "".join(f", {code(name)}" for name in option.secondary_opts)
    default = "required" if option.required else _default(option)
    return (
        spelt,
        default,
        option.help.rstrip(".") + "." + (" May be given several times." if _needs_repeat_note(option) else ""),
    )


def _default(option: Any) -> str:
    is_silent = option.default is None or option.default is False or not option.show_default
    return "" if is_silent else code(option.default)


def _needs_repeat_note(option: Any) -> bool:
    return option.multiple and not any(words in option.help for words in ("several times", "repeatable"))
