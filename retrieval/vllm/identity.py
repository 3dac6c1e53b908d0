"""Compares what a server reports about itself with the local model folder, before it has scored anything. Pure.

Each function returns what was seen, the likely cause and the flags to start the server with, or None if nothing is
wrong. rerank/server_check.py and retrieval/embed/server_check.py check a server's scores and vectors.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Final

from winnow.retrieval.model.folder import ModelFolder
from winnow.retrieval.vllm.client import ServerFacts

# Names that tell size and purpose. Other names tell nothing, and are accepted.
_RELEASE: Final = re.compile(r"Qwen3-(?:Reranker|Embedding)-\d+(?:\.\d+)?B|winnow-(?:embed|rerank)", re.IGNORECASE)
STEPS_RIGHT_FROM: Final = (0, 26)
_FIRST: Final = (0, 2)  # builds without a tag report less: 0.1.dev7+g12ab34c
_NUMBERED: Final = re.compile(r"v?(\d+)\.(\d+)")
_GENERATING: Final = frozenset({"/v1/completions", "/v1/chat/completions"})


def model_mismatch(facts: ServerFacts, folder: ModelFolder) -> str | None:
    """Both name a release, but different ones: known pairs cannot distinguish two sizes of a model."""
    served = _release(facts.root) or _release(facts.model)
    ours = _release(folder.name) or _release(str(folder.path))
    if served is None or ours is None or served.casefold() == ours.casefold():
        return None
    named = facts.root or facts.model
    return f"it serves {named}, but {folder.name} is configured. Start it with that model, or configure the served one"


def short_window(facts: ServerFacts, folder: ModelFolder, *, tokens_max: int) -> str | None:
    """The longest input that would be sent does not fit."""
    if facts.tokens_max is None or facts.tokens_max >= tokens_max:
        return None
    return (
        f"it accepts at most {facts.tokens_max} tokens, but the inputs of {folder.name} have up to {tokens_max}. "
        f"Start it with --max-model-len={tokens_max}"
    )


def may_split_wrongly(facts: ServerFacts) -> bool:
    """Whether the server may score inputs wrongly that take several steps: its vLLM can, and nothing rules it out.

    This affects compiled models that pool the last token, before vLLM 0.26 (its issue 48831, fixed by 48901).
    """
    version = _version(facts.version)
    is_mended = version is not None and version >= STEPS_RIGHT_FROM
    is_whole = facts.step_tokens is not None and facts.tokens_max is not None and facts.step_tokens >= facts.tokens_max
    return not is_mended and not is_whole and facts.is_compiled is not False


def split_fault(facts: ServerFacts) -> str | None:
    """The server reports that it takes inputs in several steps, with a version that may score those wrongly."""
    if _version(facts.version) is None or facts.step_tokens is None or not may_split_wrongly(facts):
        return None
    return (
        f"it runs vLLM {facts.version} with steps of {facts.step_tokens} tokens but accepts inputs of up to "
        f"{facts.tokens_max}: {_remedy(facts.tokens_max)}"
    )


def describe_split_fault(facts: ServerFacts, figures: str) -> str:
    """Message for a server that scores long inputs wrongly and short ones correctly."""
    remedy = _remedy(facts.tokens_max)
    return f"it distinguishes the known pairs, but not with long passages ({figures}): {remedy}"


def _remedy(tokens_max: int | None) -> str:
    return (
        "vLLM before 0.26 can score an input wrongly that it computes in several steps (its issue 48831). Use vLLM "
        f"0.26 or later, or start this one with --max-num-batched-tokens={tokens_max or 'the value of --max-model-len'}"
    )


def _version(said: str | None) -> tuple[int, int] | None:
    """Major and minor version; None if there is none, such as in a build from a branch."""
    found = _NUMBERED.match(said or "")
    if found is None or (number := (int(found[1]), int(found[2]))) < _FIRST:
        return None
    return number


def missing_route(
    facts: ServerFacts, *, wanted: str, instead: str, flags: str, general: str | None = None
) -> str | None:
    """The server lists its routes and lacks the wanted one.

    `instead` is a route of the other kind of model; `general` is a route that suffices, unless the server has
    `instead`, too.
    """
    if not facts.paths or wanted in facts.paths:
        return None
    if instead in facts.paths:
        return (
            f"it has {instead} but not {wanted}: it runs the other kind of model, lacks the flags, or has "
            f"the address of the other setting. Start it with {flags}"
        )
    if not facts.paths.isdisjoint(_GENERATING):
        return f"it has no {wanted}, because it was started for text generation. Start it with {flags}"
    return None if general in facts.paths else f"it has no {wanted}. Start vLLM with {flags}"


def tokenizer_mismatch(text: str, served: Sequence[int] | None, ours: Sequence[int], folder: ModelFolder) -> str | None:
    """The server encodes this text differently. A server that does not tokenise passes."""
    if served is None or list(served) == list(ours):
        return None
    place = next(
        (place for place, (there, here) in enumerate(zip(served, ours, strict=False)) if there != here),
        min(len(served), len(ours)),
    )
    there, here = (ids[place] if place < len(ids) else "nothing" for ids in (served, ours))
    return (
        f"it has another tokenizer: token {place} of {_shorten(text)!r} is {there} there, but {here} in that "
        f"of {folder.name}. Start it with the folder configured here, and without --tokenizer"
    )


def _release(name: str | None) -> str | None:
    """The release at the end of a name or path; in the hub's cache, the one that the cached folder is named after."""
    parts = PurePath(name or "").parts
    for part in (*parts[-1:], *(part for part in parts if part.startswith("models--"))):
        found = _RELEASE.search(part)
        if found:
            return found.group()
    return None


def _shorten(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."
