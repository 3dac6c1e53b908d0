"""What does an instruction say once its variables have their values?

    text          Answers in {language} come first. {{braces}} are doubled.
    placeholder   `{`, a name of small letters, digits and underscores, `}`; nothing else stands between braces

Rule 1: this is no format string: no attribute, index, conversion or width can be written, and a value is never parsed.
Rule 2: a value is one line. Line breaks and control characters are refused, so that no value can begin a line of the
prompt (`<Query>:`, `<Document>:`). Control tokens in it are plain text to the prompt's tokenizer, as in any text.
Rule 3: what cannot go wrong when it is used was checked when it was written: places, defaults, the longest result.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from winnow.rerank.instruction import checked_instruction
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
_LAYOUT: Final = str.maketrans("", "", "\n\r\t")  # what a text of several lines is laid out with
_INTEGER_MAX: Final = 10**15  # either side of zero; every program reads such a number exactly
_SHOWN: Final = 40  # characters of a name that somebody made up, in a message


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """An instruction as it is used."""

    text: str
    embedding_task: str | None


def checked_content(content: InstructionContent) -> InstructionContent:
    """The same, fit to be written to the library: whatever values it will be given, it can be used or they are refused.

    Raises `InvalidRequest`, `LimitExceeded`, `VariableRefused`.
    """
    checked_instruction(content.text)
    _check_words(content)
    if len(content.variables) > INSTRUCTION_VARIABLES_MAX:
        raise LimitExceeded(f"{len(content.variables)} variables; {INSTRUCTION_VARIABLES_MAX} are allowed")
    if content.literal and content.variables:
        raise InvalidRequest("a literal text has no variables")
    for name, count in Counter(variable.name for variable in content.variables).items():
        if count > 1:
            raise InvalidRequest(f"the variable {name!r} is declared twice")
    for variable in content.variables:
        _check_declaration(variable)
    _check_places(content)
    return content


def rendered(content: InstructionContent, values: Mapping[str, Value]) -> Rendered:
    """Raises `VariableRefused`, naming the variable: unknown, missing, too long, of another type, not one line."""
    declared = {variable.name: variable for variable in content.variables}
    for name in values:
        if name not in declared:
            known = ", ".join(declared) or "none"
            raise VariableRefused(f"{_shown(name)} is not declared; declared: {known}")
    words = {name: _word(variable, values.get(name, variable.default)) for name, variable in declared.items()}
    task = content.embedding_task
    if content.literal:
        return Rendered(text=content.text, embedding_task=task)
    return Rendered(text=_filled(content.text, words), embedding_task=None if task is None else _filled(task, words))


def value_of_words(content: InstructionContent, name: str, words: str) -> Value:
    """What was typed on a command line, as the type that the variable has. What it is not is left to `rendered`."""
    is_number = any(each.name == name and each.type is VariableType.INTEGER for each in content.variables)
    return int(words) if is_number and re.fullmatch(r"[+-]?[0-9]{1,18}", words, re.ASCII) else words


def is_one_line(text: str) -> bool:
    """Whether no character of it could begin a new line, move a cursor, or not be written as UTF-8."""
    return not any(unicodedata.category(character) in _NOT_ON_ONE_LINE for character in text)


def _pieces(text: str, *, where: str) -> Iterator[tuple[str, str | None]]:
    """The text in order: what stands as it is (a doubled brace is one), and a variable's name after it."""
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
                f"{where}: the {found[0]!r} at character {found.start() + 1} begins or ends no variable; a variable is "
                "{name} in small letters, digits and underscores, and a brace is written twice"
            )
    yield plain + text[end:], None


def _filled(text: str, words: Mapping[str, str]) -> str:
    return "".join(plain + (words[name] if name else "") for plain, name in _pieces(text, where="text"))


def _word(variable: Variable, value: Value | None) -> str:
    """The value as it stands in the text."""
    name = variable.name
    if value is None:
        raise VariableRefused(f"{name} is missing, and has no default")
    if variable.type is VariableType.INTEGER:
        if not isinstance(value, int) or isinstance(value, bool):
            raise VariableRefused(f"{name} has to be an integer")
        if abs(value) > _INTEGER_MAX:
            raise VariableRefused(f"{name} is beyond {_INTEGER_MAX:,}")
    elif not isinstance(value, str):
        raise VariableRefused(f"{name} has to be a string")
    if variable.allowed and value not in variable.allowed:
        raise VariableRefused(f"{name} has to be one of {', '.join(map(repr, variable.allowed))}")
    word = str(value)
    if len(word) > variable.max_length:
        raise VariableRefused(f"{name} has {len(word)} characters; {variable.max_length} are allowed")
    if not word.strip():
        raise VariableRefused(f"{name} is blank")
    if not is_one_line(word):
        raise VariableRefused(f"{name} holds a line break or a control character")
    return word


def _check_declaration(variable: Variable) -> None:
    name = variable.name
    if re.fullmatch(VARIABLE_NAME_PATTERN, name, re.ASCII) is None:
        raise InvalidRequest(
            f"{_shown(name)} is no name of a variable: a small letter, then up to 31 small letters, digits, underscores"
        )
    if not 1 <= variable.max_length <= VARIABLE_CHARACTERS_MAX:
        raise InvalidRequest(f"the variable {name!r}: max_length is from 1 to {VARIABLE_CHARACTERS_MAX}")
    if variable.type is VariableType.ENUM and not variable.allowed:
        raise InvalidRequest(f"the variable {name!r} is an enum and lists no allowed values")
    if len(variable.allowed) > VARIABLE_VALUES_MAX:
        raise LimitExceeded(f"the variable {name!r}: {VARIABLE_VALUES_MAX} values may be listed")
    for value in variable.allowed:
        _word(variable, value)
    if variable.default is not None:
        _word(variable, variable.default)


def _check_places(content: InstructionContent) -> None:
    """Every variable stands somewhere, everything that stands there is declared, and the longest result has room."""
    if content.literal:
        return
    longest = {variable.name: _longest(variable) for variable in content.variables}
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
                    f"{where}: the variable {name!r} is not declared; write a brace that is meant twice"
                )
        used.update(names)
        length = sum(len(plain) for plain, _ in pieces) + sum(longest[name] for name in names)
        if length > room:
            raise LimitExceeded(
                f"{where}: with the longest values it has {length} characters; {room} are allowed. Give variables a "
                "smaller max_length"
            )
    for name in longest:
        if name not in used:
            raise InvalidRequest(f"the variable {name!r} is declared, and stands neither in text nor embedding_task")


def _longest(variable: Variable) -> int:
    """Characters that a value of it may take."""
    return max((len(str(value)) for value in variable.allowed), default=variable.max_length)


def _check_words(content: InstructionContent) -> None:
    """What is said about the instruction, and its embedding task."""
    task = content.embedding_task
    if task is not None:
        if not task.strip() or not is_one_line(task):
            raise InvalidRequest("the embedding_task is one line, and not blank")
        if len(task) > EMBEDDING_TASK_CHARACTERS_MAX:
            raise LimitExceeded(
                f"the embedding_task has {len(task)} characters; {EMBEDDING_TASK_CHARACTERS_MAX} are allowed"
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
            raise LimitExceeded(f"{field} has {len(words)} characters; {INSTRUCTION_NOTE_CHARACTERS_MAX} are allowed")
        if not is_one_line(words.translate(_LAYOUT)):
            raise InvalidRequest(f"{field} holds a control character")


def _shown(name: str) -> str:
    """A name that somebody made up, short and printable."""
    return ascii(name if len(name) <= _SHOWN else name[:_SHOWN] + "...")
