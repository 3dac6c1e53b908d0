"""Instruction templates: check them and render them with values for their variables.

    text          Answers in {language} come first. {{braces}} are doubled.
    placeholder   `{`, a name of lowercase letters, digits and underscores, `}`; nothing else between braces

Rule 1: this is not a Python format string. Attributes, indices, conversions and widths cannot be written, and values
are never parsed.
Rule 2: a value is one line. Line breaks and control characters are refused, so no value can begin a line of the prompt
(`<Query>:`, `<Document>:`). The prompt's tokenizer reads control tokens in a value as plain text, as in any text.
Rule 3: everything that could fail at use is checked at writing: placeholders, defaults, the longest result.
Rule 4: `{today}` needs no declaration and takes no value: it is the date in UTC when the search begins, as 2026-11-29.
A version from before the name was reserved may declare it, and is rendered with its own values.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from winnow.rerank.instruction import check_instruction
from winnow.retrieval.catalog.instructions import (
    VARIABLE_NAME_PATTERN,
    InstructionContent,
    Value,
    Variable,
    VariableType,
)
from winnow.retrieval.errors import InvalidRequest, LimitExceeded, VariableRefused
from winnow.retrieval.limits import (
    EMBEDDING_TASK_CHARACTERS_MAX,
    INSTRUCTION_CHARACTERS_MAX,
    INSTRUCTION_NOTE_CHARACTERS_MAX,
    INSTRUCTION_VARIABLES_MAX,
    VARIABLE_CHARACTERS_MAX,
    VARIABLE_VALUES_MAX,
)

_PIECE: Final = re.compile(rf"\{{\{{|\}}\}}|\{{({VARIABLE_NAME_PATTERN})\}}|[{{}}]")
_NOT_ON_ONE_LINE: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})  # control, lone surrogate, line and paragraph separator
_LAYOUT: Final = str.maketrans("", "", "\n\r\t")  # whitespace that a text of several lines may contain
_INTEGER_MAX: Final = 10**15  # either side of zero; every JSON parser reads such a number exactly
TODAY: Final = "today"  # the reserved variable
_TODAY_CHARACTERS: Final = len("2026-11-29")
_SHOWN: Final = 40  # characters of a user's name that a message shows


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """An instruction with its values filled in."""

    text: str
    embedding_task: str | None


def check_content(content: InstructionContent, *, was_stored: bool = False) -> InstructionContent:
    """Return the content if it may be stored: any values it is given later either render or are refused.

    What was stored before, such as the content of a snapshot, may declare a name that was reserved since.

    Raises `InvalidRequest`, `LimitExceeded`, `VariableRefused`.
    """
    check_instruction(content.text)
    _check_words(content)
    if len(content.variables) > INSTRUCTION_VARIABLES_MAX:
        raise LimitExceeded(f"{len(content.variables)} variables; the limit is {INSTRUCTION_VARIABLES_MAX}")
    if content.literal and content.variables:
        raise InvalidRequest("a literal instruction cannot declare variables")
    for name, count in Counter(variable.name for variable in content.variables).items():
        if count > 1:
            raise InvalidRequest(f"variable {name!r} is declared twice")
    for variable in content.variables:
        _check_declaration(variable)
        if variable.name == TODAY and not was_stored:
            raise InvalidRequest(
                f"variable {TODAY!r} is reserved for the date in UTC when the search begins; use {{{TODAY}}} without "
                "declaring it, or choose another name"
            )
    _check_places(content)
    return content


def render(content: InstructionContent, values: Mapping[str, Value], *, today: date) -> Rendered:
    """Fill in the values and the date.

    Raises `VariableRefused`, which names the variable: unknown, missing, too long, of another type, not one line.
    """
    declared = {variable.name: variable for variable in content.variables}
    for name in values:
        if name not in declared:
            if name == TODAY:
                raise VariableRefused(f"{TODAY} takes no value: it is the date in UTC when the search begins")
            known = ", ".join(declared) or "none"
            raise VariableRefused(f"{_shown(name)} is not declared; declared variables: {known}")
    words = {TODAY: today.isoformat()}
    words |= {name: _word(variable, values.get(name, variable.default)) for name, variable in declared.items()}
    task = content.embedding_task
    if content.literal:
        return Rendered(text=content.text, embedding_task=task)
    return Rendered(text=_fill(content.text, words), embedding_task=None if task is None else _fill(task, words))


def parse_value(content: InstructionContent, name: str, words: str) -> Value:
    """Convert a command-line word to the type of its variable. `render` refuses what does not fit."""
    is_number = any(each.name == name and each.type is VariableType.INTEGER for each in content.variables)
    return int(words) if is_number and re.fullmatch(r"[+-]?[0-9]{1,18}", words, re.ASCII) else words


def is_one_line(text: str) -> bool:
    """Whether no character starts a new line, moves a cursor, or cannot be encoded as UTF-8."""
    return not any(unicodedata.category(character) in _NOT_ON_ONE_LINE for character in text)


def _pieces(text: str, *, where: str) -> Iterator[tuple[str, str | None]]:
    """Split the text into pairs: literal text (a doubled brace is one character), then the variable that follows it."""
    end, plain = 0, ""
    for found in _PIECE.finditer(text):
        plain += text[end : found.start()]
        end = found.end()
        if found[1]:
            yield plain, found[1]
            plain = ""
        elif len(found[0]) == 2:  # a doubled brace
            plain += found[0][0]
        else:
            raise InvalidRequest(
                f"{where}: unexpected {found[0]!r} at character {found.start() + 1}; write a variable as {{name}} "
                "(lowercase letters, digits, underscores) and a literal brace as {{ or }}"
            )
    yield plain + text[end:], None


def _fill(text: str, words: Mapping[str, str]) -> str:
    return "".join(plain + (words[name] if name else "") for plain, name in _pieces(text, where="text"))


def _word(variable: Variable, value: Value | None) -> str:
    """Check the value and return it as text."""
    name = variable.name
    if value is None:
        raise VariableRefused(f"{name} is required: it has no default")
    if variable.type is VariableType.INTEGER:
        if not isinstance(value, int) or isinstance(value, bool):
            raise VariableRefused(f"{name} must be an integer")
        if abs(value) > _INTEGER_MAX:
            raise VariableRefused(f"{name} must be between {-_INTEGER_MAX:,} and {_INTEGER_MAX:,}")
    elif not isinstance(value, str):
        raise VariableRefused(f"{name} must be a string")
    if variable.allowed and value not in variable.allowed:
        raise VariableRefused(f"{name} must be one of {', '.join(map(repr, variable.allowed))}")
    word = str(value)
    if len(word) > variable.max_length:
        raise VariableRefused(f"{name} has {len(word)} characters; the limit is {variable.max_length}")
    if not word.strip():
        raise VariableRefused(f"{name} is blank")
    if not is_one_line(word):
        raise VariableRefused(f"{name} contains a line break or a control character")
    return word


def _check_declaration(variable: Variable) -> None:
    name = variable.name
    if re.fullmatch(VARIABLE_NAME_PATTERN, name, re.ASCII) is None:
        raise InvalidRequest(
            f"invalid variable name {_shown(name)}: use a lowercase letter, then up to 31 lowercase letters, digits or "
            "underscores"
        )
    if not 1 <= variable.max_length <= VARIABLE_CHARACTERS_MAX:
        raise InvalidRequest(f"variable {name!r}: max_length must be between 1 and {VARIABLE_CHARACTERS_MAX}")
    if variable.type is VariableType.ENUM and not variable.allowed:
        raise InvalidRequest(f"variable {name!r} is an enum but has no allowed values")
    if len(variable.allowed) > VARIABLE_VALUES_MAX:
        raise LimitExceeded(f"variable {name!r}: at most {VARIABLE_VALUES_MAX} allowed values")
    for value in variable.allowed:
        _word(variable, value)
    if variable.default is not None:
        _word(variable, variable.default)


def _check_places(content: InstructionContent) -> None:
    """Check that each variable is used, each placeholder is declared, and the longest result fits."""
    if content.literal:
        return
    declared = {variable.name: _longest(variable) for variable in content.variables}
    longest = {TODAY: _TODAY_CHARACTERS} | declared
    used: set[str] = set()
    for where, text, room in (
        ("text", content.text, INSTRUCTION_CHARACTERS_MAX),
        ("embedding_task", content.embedding_task or "", EMBEDDING_TASK_CHARACTERS_MAX),
    ):
        pieces = list(_pieces(text, where=where))
        names = [name for _, name in pieces if name]
        for name in names:
            if name not in longest:
                raise InvalidRequest(
                    f"{where}: variable {name!r} is not declared; write a literal brace as {{{{ or }}}}"
                )
        used.update(names)
        length = sum(len(plain) for plain, _ in pieces) + sum(longest[name] for name in names)
        if length > room:
            raise LimitExceeded(
                f"{where}: {length} characters with the longest values; the limit is {room}. Give the variables a "
                "smaller max_length"
            )
    for name in declared:
        if name not in used:
            raise InvalidRequest(f"variable {name!r} is declared but used neither in text nor in embedding_task")


def _longest(variable: Variable) -> int:
    """Characters of the variable's longest possible value."""
    return max((len(str(value)) for value in variable.allowed), default=variable.max_length)


def _check_words(content: InstructionContent) -> None:
    """Check the embedding task and the descriptive fields."""
    task = content.embedding_task
    if task is not None:
        if not task.strip() or not is_one_line(task):
            raise InvalidRequest("embedding_task must be one line and not blank")
        if len(task) > EMBEDDING_TASK_CHARACTERS_MAX:
            raise LimitExceeded(
                f"embedding_task has {len(task)} characters; the limit is {EMBEDDING_TASK_CHARACTERS_MAX}"
            )
    said = {
        "text": content.text,
        "purpose": content.purpose,
        "language": content.language,
        "author": content.author,
        "note": content.note,
        **{f"variables.{each.name[:_SHOWN]}.description": each.description for each in content.variables},
    }
    for field, words in said.items():
        if field != "text" and len(words) > INSTRUCTION_NOTE_CHARACTERS_MAX:
            raise LimitExceeded(f"{field} has {len(words)} characters; the limit is {INSTRUCTION_NOTE_CHARACTERS_MAX}")
        if not is_one_line(words.translate(_LAYOUT)):
            raise InvalidRequest(f"{field} contains a control character")


def _shown(name: str) -> str:
    """Shorten a user's name and make it printable."""
    return ascii(name if len(name) <= _SHOWN else name[:_SHOWN] + "...")
