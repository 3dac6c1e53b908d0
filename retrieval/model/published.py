"""Recognises a model and finds the answers that it is known to give (retrieval/model/known_answers.py).

A folder's own winnow.json comes first. Else a published Qwen3 model is recognised by the dimensions in its
config.json, whatever its folder is called: the figures of a model card then hold for it, unless it was trained further.
A folder that also has the published name certainly is that model.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Final

from winnow.retrieval.errors import ModelUnusable
from winnow.retrieval.model.config import QwenConfig
from winnow.retrieval.model.folder import ModelFolder
from winnow.retrieval.model.known_answers import KnownAnswers, ModelKind, only_order, parse

_FILE: Final = Path(__file__).with_name("published_answers.json")
_Shape = tuple[int, int, int]  # hidden size, layers, rows of the vocabulary
NONE_STATED: Final = (
    "winnow.json states no known answers; order of the example checked only (relevant above irrelevant)"
)
ORDER_ONLY: Final = "no published figures for this size; order of the example checked only (relevant above irrelevant)"


class RecognisedBy(StrEnum):
    """How a model was recognised."""

    ITS_SETTINGS = "winnow.json"
    SHAPE_AND_NAME = "shape and name"
    SHAPE = "shape"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """A model, and what it is known to answer."""

    name: str  # the model whose answers these are
    by: RecognisedBy
    known: KnownAnswers
    remark: str | None = None  # what does not fit together, or is missing

    @property
    def is_certain(self) -> bool:
        """Whether other figures are a fault; a model recognised by its shape alone may have been trained further."""
        return self.by in {RecognisedBy.ITS_SETTINGS, RecognisedBy.SHAPE_AND_NAME}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Published:
    name: str
    shape: _Shape
    known: KnownAnswers


def recognise(folder: ModelFolder, kind: ModelKind, *, may_be_published: bool = True) -> Recognised:
    """Recognise the model in this folder, configured as one of this kind.

    It cannot be a published one if it is asked in another way than those, for example with a template of its own.
    """
    own = folder.settings.known_answers
    if own is not None and own.answers:
        return Recognised(name=folder.name, by=RecognisedBy.ITS_SETTINGS, known=own)
    shape = _shape(folder) if may_be_published else None
    named = next((each for each in _published() if _has_name(folder, each.name)), None)
    found = next((each for each in _published() if each.shape == shape and each.known.kind == kind), None)
    if found is None or own is not None:  # an empty list in winnow.json: its owner does not want the comparison
        remark = _misfit(shape, kind, named) or ORDER_ONLY if own is None else NONE_STATED
        return Recognised(name=folder.name, by=RecognisedBy.NOTHING, known=only_order(kind), remark=remark)
    by = RecognisedBy.SHAPE_AND_NAME if found is named else RecognisedBy.SHAPE
    other = named is not None and named is not found
    doubt = f"named like {named.name}, but has the dimensions of {found.name}" if other and named else None
    return Recognised(name=found.name, by=by, known=found.known, remark=doubt)


def _misfit(shape: _Shape | None, kind: ModelKind, named: _Published | None) -> str | None:
    other = next((each for each in _published() if each.shape == shape), None)
    if other is not None:
        return f"has the dimensions of {other.name}, which is no {kind}; {ORDER_ONLY}"
    if named is None or shape is None:
        return None
    here, there = (", ".join(map(str, each)) for each in (shape, named.shape))
    return f"named like {named.name}, but hidden size, layers and vocabulary are {here}, not {there}; {ORDER_ONLY}"


def _shape(folder: ModelFolder) -> _Shape | None:
    """None for a model that is no Qwen3."""
    try:
        config = QwenConfig.read(folder.path)
    except ModelUnusable:
        return None
    return config.hidden, config.layers, config.vocabulary


def _has_name(folder: ModelFolder, name: str) -> bool:
    """Whether its hub name or folder ends so, or the hub's cache keeps it under this name."""
    wanted = name.casefold()
    ends = {Path(folder.name).name.casefold(), folder.path.name.casefold()}
    cached = {part.casefold().rpartition("--")[2] for part in folder.path.parts if part.startswith("models--")}
    return wanted in ends | cached


@lru_cache(maxsize=1)
def _published() -> tuple[_Published, ...]:
    return tuple(
        _Published(
            name=each["model"],
            shape=(each["shape"]["hidden"], each["shape"]["layers"], each["shape"]["vocabulary"]),
            known=parse(each["known_answers"], each["kind"], default_source=""),
        )
        for each in json.loads(_FILE.read_text(encoding="utf-8"))
    )
