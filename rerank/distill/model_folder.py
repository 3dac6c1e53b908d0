"""Writes a distilled reranker as a model folder, with a card that says how it was made.

The folder has everything that a loader, winnow's or vLLM's, reads of the model it was made from. It is filled under
another name and renamed when it is complete.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from winnow.retrieval.files.durable import DISK, SyncedTree, Syncer, remove, write_errors
from winnow.retrieval.model.folder import ModelFolder, Order
from winnow.retrieval.model.trainable import TrainableQwen
from winnow.retrieval.records import JsonValue

CARD: Final = "MODEL_CARD.md"
SETTINGS: Final = "winnow.json"
KNOWN_DECIMALS: Final = 4
_COPIED: Final = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A row of the card: an order, and its measures on the held-back queries."""

    name: str
    measures: Mapping[str, float]


def write_model(model: TrainableQwen, made_from: ModelFolder, folder: Path, *, name: str) -> None:
    """Write weights, configuration, tokenizer and the settings that do not depend on a comparison."""
    remove(folder)
    with write_errors(folder):
        folder.mkdir(parents=True)
        for file in _COPIED:
            if (made_from.path / file).is_file():
                shutil.copyfile(made_from.path / file, folder / file)
        model.save(folder / "model.safetensors")
    write_settings(folder, {"kind": "reranker", "name": name, "max_tokens": made_from.settings.max_tokens})


def write_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    with write_errors(folder):
        text = json.dumps(settings, indent=2, ensure_ascii=False) + "\n"
        (folder / SETTINGS).write_text(text, encoding="utf-8")


def settings_with(folder: Path, *, order: Order, known_answers: Sequence[tuple[float, float]]) -> dict[str, JsonValue]:
    """The settings of a folder that `write_model` wrote, with its order and its answers to the known pairs."""
    written: dict[str, JsonValue] = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    kinds = {"plain": order.plain, "instructed": order.instructed}
    return written | {
        "order": {
            kind: {
                "recall_weight": mixture.recall_weight,
                "relevance_weight": mixture.relevance_weight,
                "bias": mixture.bias,
            }
            for kind, mixture in kinds.items()
        },
        "known_answers": [
            [round(right, KNOWN_DECIMALS), round(wrong, KNOWN_DECIMALS)] for right, wrong in known_answers
        ],
    }


def publish(folder: Path, output: Path, card: str, *, syncer: Syncer = DISK) -> None:
    """Add the card, sync the folder, and rename it to `output`. Raises `WriteFailed`."""
    with write_errors(output):
        (folder / CARD).write_text(card, encoding="utf-8")
    SyncedTree(folder, syncer=syncer).sync()
    with write_errors(output):
        folder.rename(output)
    syncer.sync(output.parent)


def card_of(name: str, facts: Mapping[str, object], figures: Sequence[Figure], differences: Sequence[str]) -> str:
    """The text of the card. No query and no passage is in it."""
    measures = list(figures[0].measures)
    rows = [f"| {each.name} | {' | '.join(f'{each.measures[key]:.4f}' for key in measures)} |" for each in figures]
    lines = [
        f"# {name}",
        "",
        "A reranker that `winnow distill` trained on the scores of a larger one, for one collection. It was offered",
        "because it agreed significantly better with its teacher than the model it was made from, on queries that were",
        "held back from training.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {key} | {value} |" for key, value in facts.items()),
        "",
        "## Figures on the held-back queries",
        "",
        f"| order | {' | '.join(measures)} |",
        f"|---|{'---|' * len(measures)}",
        *rows,
        "",
        *(f"- {each}" for each in differences),
        "",
        "## Limits",
        "",
        "- It was trained and measured on one collection, under one instruction. Elsewhere, and under other",
        "  instructions, it may be worse than the model it was made from.",
        "- Agreement with a teacher is not relevance: where the teacher is wrong, this model learned to be wrong.",
        "- The weights of its order were fitted on this collection, under this instruction only.",
        "- When the documents or the questions change much, distil again.",
        "",
    ]
    return "\n".join(lines)
