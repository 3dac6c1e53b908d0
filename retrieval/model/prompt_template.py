"""What a causal reranker is asked, and how its answer becomes a score: read from a file, or from winnow.json.

    text    the prompt, with {query}, {document} and, if the model reads one, {instruction}; control tokens by name
    plain   the prompt under the default instruction, for models that leave it out there; optional
    yes     the token whose logit says "relevant"
    no      the token whose logit is subtracted; optional
    divide  the difference (or the logit) is divided by this; 1 by default

relevance = sigmoid((logit of yes - logit of no) / divide), at the last position of the prompt.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from winnow.retrieval.errors import ModelUnusable, SettingInvalid

VARIABLE: Final = re.compile(r"\{(instruction|query|document)\}")
_FIELDS: Final = frozenset({"text", "plain", "yes", "no", "divide"})
_DOCUMENT: Final = "document"


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTemplate:
    """The prompt of a causal reranker, and its answer tokens."""

    text: str
    yes: str
    no: str | None = None
    plain: str | None = None
    divide: float = 1.0

    @property
    def reads_instruction(self) -> bool:
        return "{instruction}" in self.text

    @property
    def format(self) -> str:
        """Part of cache keys: changes with anything that changes a score."""
        written = json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)
        return f"template:{hashlib.sha256(written.encode()).hexdigest()}"


def parse_template(written: object, *, origin: str) -> PromptTemplate:
    """Read a template. Raises `ModelUnusable` with a sentence that says what is wrong."""
    if not isinstance(written, Mapping) or not written.keys() <= _FIELDS:
        raise ModelUnusable(f"{origin}: a template is an object with {', '.join(sorted(_FIELDS))}")
    for name in ("text", "plain", "yes", "no"):
        if not isinstance(written.get(name, ""), str):
            raise ModelUnusable(f"{origin}: {name} must be a text")
    divide = written.get("divide", 1.0)
    if isinstance(divide, bool) or not isinstance(divide, int | float) or not math.isfinite(divide) or divide <= 0:
        raise ModelUnusable(f"{origin}: divide must be a number above 0")
    if not written.get("text") or not written.get("yes"):
        raise ModelUnusable(f"{origin}: text and yes are required")
    for name in ("text", "plain"):
        if name in written:
            _check_variables(written[name], origin=f"{origin}: {name}")
    if written["yes"] == written.get("no"):
        raise ModelUnusable(f"{origin}: yes and no must be different tokens; leave `no` out if there is only one")
    return PromptTemplate(
        text=written["text"],
        yes=written["yes"],
        no=written.get("no"),
        plain=written.get("plain"),
        divide=float(divide),
    )


def read_templates(file: Path) -> dict[str, PromptTemplate]:
    """Read a TOML file of templates, one table per model name. Raises `SettingInvalid`, `ModelUnusable`."""
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingInvalid(f"cannot read the file of prompt templates {file} ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingInvalid(f"the file of prompt templates {file} is not TOML: {error}") from error
    return {name: parse_template(written, origin=f"{file}: {name}") for name, written in content.items()}


def _check_variables(text: str, *, origin: str) -> None:
    found = VARIABLE.findall(text)
    for name in ("query", _DOCUMENT, "instruction"):
        if found.count(name) > 1 or (name != "instruction" and name not in found):
            raise ModelUnusable(f"{origin} must have {{query}} and {{document}} once, and {{instruction}} at most once")
    if found[-1] != _DOCUMENT:
        raise ModelUnusable(f"{origin}: {{document}} must come last, so that documents share what stands before it")
