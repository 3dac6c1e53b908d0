"""Is the model that a server runs the one whose folder lies here? What tells before it has answered anything.

Pure. Each function says what was seen, the likely cause and what to start the server with, or None where nothing is
wrong. A server's scores and vectors are asked for by rerank/server_check.py and retrieval/embed/server_check.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Final

from winnow.retrieval.model.folder import ModelFolder
from winnow.retrieval.vllm.client import ServerFacts

# Whose names tell size and purpose. A name of somebody's own tells nothing, and is not held against a server.
_RELEASE: Final = re.compile(r"Qwen3-(?:Reranker|Embedding)-\d+(?:\.\d+)?B|winnow-(?:embed|rerank)", re.IGNORECASE)
STEPS_RIGHT_FROM: Final = (0, 26)
_FIRST: Final = (0, 2)  # what builds without a tag call themselves is below: 0.1.dev7+g12ab34c
_NUMBERED: Final = re.compile(r"v?(\d+)\.(\d+)")
_GENERATING: Final = frozenset({"/v1/completions", "/v1/chat/completions"})


def another_model(facts: ServerFacts, folder: ModelFolder) -> str | None:
    """Whether both name a release, and different ones: two sizes of one model agree about every known pair."""
    served = _release(facts.root) or _release(facts.model)
    ours = _release(folder.name) or _release(str(folder.path))
    if served is None or ours is None or served.casefold() == ours.casefold():
        return None
    named = facts.root or facts.model
    return f"it serves {named}, and {folder.name} is set here. Start it with that model, or set the one that it serves"


def too_short(facts: ServerFacts, folder: ModelFolder, *, tokens_max: int) -> str | None:
    """Whether an input that we would send does not fit."""
    if facts.tokens_max is None or facts.tokens_max >= tokens_max:
        return None
    return (
        f"it takes at most {facts.tokens_max} tokens, and the inputs of {folder.name} have up to {tokens_max}. "
        f"Start it with --max-model-len={tokens_max}"
    )


def may_split_wrongly(facts: ServerFacts) -> bool:
    """Whether it may score an input wrongly that takes several steps: its vLLM can, and nothing says that it does not.

    Compiled models that pool the last token, before vLLM 0.26 (its issue 48831, mended by 48901).
    """
    version = _version(facts.version)
    is_mended = version is not None and version >= STEPS_RIGHT_FROM
    is_whole = facts.step_tokens is not None and facts.tokens_max is not None and facts.step_tokens >= facts.tokens_max
    return not is_mended and not is_whole and facts.is_compiled is not False


def splits_wrongly(facts: ServerFacts) -> str | None:
    """Whether it says itself that it takes inputs in several steps, and is a version that may score those wrongly."""
    if _version(facts.version) is None or facts.step_tokens is None or not may_split_wrongly(facts):
        return None
    return (
        f"it runs vLLM {facts.version} with steps of {facts.step_tokens} tokens and takes inputs of up to "
        f"{facts.tokens_max}: {_remedy(facts.tokens_max)}"
    )


def split_seen(facts: ServerFacts, figures: str) -> str:
    """What to say where long inputs come out wrong and short ones do not."""
    remedy = _remedy(facts.tokens_max)
    return f"it tells the known pairs apart, but not where their passages are long ({figures}): {remedy}"


def _remedy(tokens_max: int | None) -> str:
    return (
        "before 0.26 vLLM can score an input wrongly that it computes in several steps (its issue 48831). Run vLLM "
        f"0.26 or later, or start this one with --max-num-batched-tokens={tokens_max or 'as many as --max-model-len'}"
    )


def _version(said: str | None) -> tuple[int, int] | None:
    """Major and minor; None for what names neither, such as a build from a branch."""
    found = _NUMBERED.match(said or "")
    if found is None or (number := (int(found[1]), int(found[2]))) < _FIRST:
        return None
    return number


def without_route(
    facts: ServerFacts, *, wanted: str, instead: str, flags: str, general: str | None = None
) -> str | None:
    """Whether it tells its routes and has not the wanted one.

    `instead` is what the other kind of model has; `general` is a route that will do, unless it has that one too.
    """
    if not facts.paths or wanted in facts.paths:
        return None
    if instead in facts.paths:
        return (
            f"it has no {wanted} but {instead}: it was started as the other kind of model, without the right flags or "
            f"behind the other setting's address. Start it with {flags}"
        )
    if not facts.paths.isdisjoint(_GENERATING):
        return f"it has no {wanted}, because it was started to generate text. Start it with {flags}"
    return None if general in facts.paths else f"it has no {wanted}. Start vLLM with {flags}"


def another_tokenizer(text: str, served: Sequence[int] | None, ours: Sequence[int], folder: ModelFolder) -> str | None:
    """Whether it reads other ids in this text than we do. A server that does not tell is not suspected."""
    if served is None or list(served) == list(ours):
        return None
    place = next(
        (place for place, (there, here) in enumerate(zip(served, ours, strict=False)) if there != here),
        min(len(served), len(ours)),
    )
    there, here = (ids[place] if place < len(ids) else "nothing" for ids in (served, ours))
    return (
        f"its tokenizer is another one: token {place} of {_shortened(text)!r} is {there} there, and {here} in the "
        f"tokenizer of {folder.name}. Start it with the same folder as is set here, and without --tokenizer"
    )


def _release(name: str | None) -> str | None:
    """The release that a name or path ends in; of the hub's cache, the one that the cached folder is named after."""
    parts = PurePath(name or "").parts
    for part in (*parts[-1:], *(part for part in parts if part.startswith("models--"))):
        found = _RELEASE.search(part)
        if found:
            return found.group()
    return None


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."
