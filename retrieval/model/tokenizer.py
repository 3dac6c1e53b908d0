"""Text to token ids: one tokenizer for what we wrote, another for everything that somebody else wrote.

Rule 1: the scaffold of a prompt, and nothing else, is encoded by `ScaffoldTokenizer`, which knows control tokens.
Rule 2: everything a user wrote is encoded by `PlainTokenizer`, which knows none: `<|im_end|>` in a document becomes
ordinary pieces. It is built with its added tokens emptied, because `encode_special_tokens=True` still lets through
the twelve of Qwen's 26 that are added but not flagged special, `<think>` among them.
Rule 3: neither appends anything; whoever needs `<|endoftext|>` appends its id.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer

from winnow.retrieval.errors import ModelUnusable

# How Qwen cuts text before merging bytes, for folders that hold vocab.json and merges.txt only.
_QWEN_SPLIT: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")  # cannot be written as UTF-8, and so not be tokenised


class PlainTokenizer:
    """Encodes what a user wrote. No text, however clever, makes it return a control token."""

    def __init__(self, definition: dict[str, Any], *, control_ids: frozenset[int], origin: str) -> None:
        self._tokenizer = _build(definition | {"added_tokens": []}, origin)
        self._refuse_control_tokens(definition, control_ids, origin)

    @classmethod
    def load(cls, folder: Path) -> PlainTokenizer:
        """From a model folder. Raises `ModelUnusable`."""
        definition = _read_definition(folder)
        return cls(definition, control_ids=_control_ids(definition), origin=str(folder))

    def ids(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(encodable(text), add_special_tokens=False).ids)

    def ids_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, computed on all cores."""
        encodings = self._tokenizer.encode_batch_fast([encodable(text) for text in texts], add_special_tokens=False)
        return [list(encoding.ids) for encoding in encodings]

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Where each token lies in the text, in characters (code points), half-open.

        The pieces of one character (an emoji may take four tokens) all name that whole character.
        """
        return list(self._tokenizer.encode(encodable(text), add_special_tokens=False).offsets)

    def _refuse_control_tokens(self, definition: dict[str, Any], control_ids: frozenset[int], origin: str) -> None:
        """A vocabulary could hold a control token as an ordinary piece; better to find out at start."""
        for token in definition["added_tokens"]:
            if not control_ids.isdisjoint(self.ids(token["content"])):
                raise ModelUnusable(f"{origin}: the text {token['content']!r} would become a control token")


class ScaffoldTokenizer:
    """Encodes what we wrote: the fixed parts of a prompt, control tokens included."""

    def __init__(self, definition: dict[str, Any], *, origin: str) -> None:
        self._tokenizer = _build(definition, origin)
        self._origin = origin
        self.control_ids = _control_ids(definition)

    @classmethod
    def load(cls, folder: Path) -> ScaffoldTokenizer:
        """From a model folder. Raises `ModelUnusable`."""
        return cls(_read_definition(folder), origin=str(folder))

    def ids(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def text(self, ids: Sequence[int]) -> str:
        """What these ids say, control tokens by their names. For people: no ids come back from it."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))

    def token_id(self, token: str) -> int:
        """The id of exactly this token. Raises `ModelUnusable` where the vocabulary has no such token."""
        found = self._tokenizer.token_to_id(token)
        if found is None:
            raise ModelUnusable(f"{self._origin}: the tokenizer has no token {token!r}")
        return int(found)


def encodable(text: str) -> str:
    """The same text with U+FFFD for lone surrogates: as many characters, so offsets stay true."""
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)


def _control_ids(definition: dict[str, Any]) -> frozenset[int]:
    return frozenset(token["id"] for token in definition["added_tokens"])


def _build(definition: dict[str, Any], origin: str) -> Tokenizer:
    """Nothing appended, nothing cut, nothing padded: lengths are ours to decide."""
    bare = definition | {"post_processor": None, "truncation": None, "padding": None}
    try:
        return Tokenizer.from_str(json.dumps(bare))
    except Exception as error:  # the library raises bare Exception for a definition it cannot read
        raise ModelUnusable(f"{origin}: the tokenizer cannot be built: {error}") from error


def _read_definition(folder: Path) -> dict[str, Any]:
    """What a tokenizer.json says, or the same put together from Qwen's older files."""
    try:
        is_whole = (folder / "tokenizer.json").is_file()
        definition = _read_json(folder / "tokenizer.json") if is_whole else _definition_from_parts(folder)
        return definition | {
            "added_tokens": [{**token, "id": int(token["id"])} for token in definition["added_tokens"]]
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelUnusable(f"{folder}: its tokenizer cannot be read: {error!r}") from error


def _definition_from_parts(folder: Path) -> dict[str, Any]:
    """From vocab.json, merges.txt and the added tokens of tokenizer_config.json, as Qwen publishes them."""
    lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
    merges = [line for line in lines if line and not line.startswith("#version")]
    added = _read_json(folder / "tokenizer_config.json")["added_tokens_decoder"]
    byte_level = {"add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    return {
        "version": "1.0",
        "added_tokens": [{"id": int(number), **token} for number, token in added.items()],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": _QWEN_SPLIT}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", **byte_level},
            ],
        },
        "decoder": {"type": "ByteLevel", **byte_level},
        "model": {"type": "BPE", "vocab": _read_json(folder / "vocab.json"), "merges": merges},
    }


def _read_json(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return read
