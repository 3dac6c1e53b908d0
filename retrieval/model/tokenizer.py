"""Tokenizers: one for our own prompt texts, another for everything users write.

Rule 1: `ScaffoldTokenizer`, which knows control tokens, encodes the scaffold of a prompt and nothing else.
Rule 2: `PlainTokenizer`, which knows none, encodes everything users write: `<|im_end|>` in a document becomes ordinary
pieces. It is built without added tokens, because `encode_special_tokens=True` still lets through the twelve of Qwen's
26 that are added but not flagged special, `<think>` among them.
Rule 3: neither appends anything; a caller that needs `<|endoftext|>` appends its id.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any, Final
from weakref import WeakValueDictionary

import orjson
from tokenizers import Tokenizer

from winnow.retrieval.errors import ModelUnusable

# How Qwen splits text before merging bytes, for folders with only vocab.json and merges.txt.
_QWEN_SPLIT: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_NEVER_IN_TEXT: Final = "\ue000\ue001\ue000"  # of a private use area
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")  # not valid in UTF-8, so it cannot be tokenised
_building: Final = Lock()
_built: Final[WeakValueDictionary[bytes, Tokenizer]] = WeakValueDictionary()  # by digest; none is changed once built


class PlainTokenizer:
    """Encodes user text. No text makes it return a control token."""

    def __init__(self, definition: dict[str, Any], *, control_ids: frozenset[int], origin: str) -> None:
        self._tokenizer = _build(_without_control_tokens(definition, control_ids), origin)
        self._refuse_control_tokens(definition, control_ids - _unknown_ids(definition), origin)

    @classmethod
    def load(cls, folder: Path) -> PlainTokenizer:
        """Load from a model folder. Raises `ModelUnusable`."""
        definition = _read_definition(folder)
        return cls(definition, control_ids=_control_ids(definition), origin=str(folder))

    def ids(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(encodable(text), add_special_tokens=False).ids)

    def ids_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Encode each text, on all cores."""
        encodings = self._tokenizer.encode_batch_fast([encodable(text) for text in texts], add_special_tokens=False)
        return [list(encoding.ids) for encoding in encodings]

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Position of each token in the text, in characters (code points), half-open.

        If a character takes several tokens (an emoji may take four), each has the whole character's position.
        """
        return list(self._tokenizer.encode(encodable(text), add_special_tokens=False).offsets)

    def _refuse_control_tokens(self, definition: dict[str, Any], control_ids: frozenset[int], origin: str) -> None:
        """Check at start that the vocabulary does not contain a control token as an ordinary piece."""
        for token in definition["added_tokens"]:
            if not control_ids.isdisjoint(self.ids(token["content"])):
                raise ModelUnusable(f"{origin}: the text {token['content']!r} would be encoded as a control token")


class ScaffoldTokenizer:
    """Encodes our own texts: the fixed parts of a prompt, control tokens included."""

    def __init__(self, definition: dict[str, Any], *, origin: str) -> None:
        self._tokenizer = _build(definition, origin)
        self._origin = origin
        self.control_ids = _control_ids(definition)
        self.control_names = frozenset(str(token["content"]) for token in definition["added_tokens"])

    @classmethod
    def load(cls, folder: Path) -> ScaffoldTokenizer:
        """Load from a model folder. Raises `ModelUnusable`."""
        return cls(_read_definition(folder), origin=str(folder))

    def ids(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def text(self, ids: Sequence[int]) -> str:
        """Decode ids, with control tokens by name. For people only: encoding it may give other ids."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))

    def token_id(self, token: str) -> int:
        """The id of exactly this token. Raises `ModelUnusable` if the vocabulary lacks it."""
        found = self._tokenizer.token_to_id(token)
        if found is None:
            raise ModelUnusable(f"{self._origin}: the tokenizer has no token {token!r}")
        return int(found)


def token_ids(folder: Path, *tokens: str) -> tuple[int, ...]:
    """The ids of exactly these tokens of a model folder, control tokens included. Raises `ModelUnusable` for others.

    Where the vocabulary is a table, no tokenizer is built, which takes 50 ms.
    """
    definition = _read_definition(folder)
    vocabulary = definition["model"].get("vocab")
    if not isinstance(vocabulary, dict):
        scaffold = ScaffoldTokenizer(definition, origin=str(folder))
        return tuple(map(scaffold.token_id, tokens))
    known = vocabulary | {str(each["content"]): each["id"] for each in definition["added_tokens"]}
    if missing := [token for token in tokens if token not in known]:
        raise ModelUnusable(f"{folder}: the tokenizer has no token {missing[0]!r}")
    return tuple(int(known[token]) for token in tokens)


class PieceTokenizer:
    """Counts and cuts single texts by a tokenizer of any kind, without what it adds around them."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Copies the tokenizer, whose own truncation and padding stay."""
        self._tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def ids(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(encodable(text), add_special_tokens=False).ids)

    def ids_batch(self, texts: Sequence[str]) -> list[list[int]]:
        found = self._tokenizer.encode_batch_fast([encodable(text) for text in texts], add_special_tokens=False)
        return [list(each.ids) for each in found]

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Position of each token in the text, in characters (code points), half-open."""
        return list(self._tokenizer.encode(encodable(text), add_special_tokens=False).offsets)


def encodable(text: str) -> str:
    """Replace lone surrogates by U+FFFD: the number of characters stays, so offsets are right."""
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)


def _control_ids(definition: dict[str, Any]) -> frozenset[int]:
    return frozenset(token["id"] for token in definition["added_tokens"])


def _without_control_tokens(definition: dict[str, Any], control_ids: frozenset[int]) -> dict[str, Any]:
    """Leave out the added tokens, and in SentencePiece's vocabulary rename those that it has as pieces, too."""
    bare = definition | {"added_tokens": []}
    model = definition["model"]
    if model.get("type") != "Unigram":
        return bare
    vocabulary = [
        [f"{_NEVER_IN_TEXT}{piece}", score] if place in control_ids else [piece, score]
        for place, (piece, score) in enumerate(model["vocab"])
    ]
    return bare | {"model": model | {"vocab": vocabulary}}


def _unknown_ids(definition: dict[str, Any]) -> frozenset[int]:
    """The id of what the vocabulary lacks, which any text may contain."""
    model = definition["model"]
    found = model.get(
        "unk_id", (model.get("vocab") or {}).get(model.get("unk_token")) if "unk_token" in model else None
    )
    return frozenset() if found is None else frozenset({int(found)})


def _build(definition: dict[str, Any], origin: str) -> Tokenizer:
    """Build without appending, truncating or padding, which the caller decides.

    Models with one vocabulary, as the bundled ones, share what is built: 50 ms and its memory.
    """
    written = orjson.dumps(definition | {"post_processor": None, "truncation": None, "padding": None})  # json: 60 ms
    digest = sha256(written).digest()
    with _building:
        built = _built.get(digest)
        if built is None:
            try:
                built = _built[digest] = Tokenizer.from_buffer(written)
            except Exception as error:  # the library raises bare Exception for a definition it cannot read
                raise ModelUnusable(f"{origin}: cannot build the tokenizer: {error}") from error
        return built


def _read_definition(folder: Path) -> dict[str, Any]:
    """Read tokenizer.json, or assemble it from Qwen's older files."""
    try:
        is_whole = (folder / "tokenizer.json").is_file()
        definition = _read_json(folder / "tokenizer.json") if is_whole else _definition_from_parts(folder)
        return definition | {
            "added_tokens": [{**token, "id": int(token["id"])} for token in definition["added_tokens"]]
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelUnusable(f"{folder}: cannot read the tokenizer: {error!r}") from error


def _definition_from_parts(folder: Path) -> dict[str, Any]:
    """Assemble from vocab.json, merges.txt and the added tokens of tokenizer_config.json, as Qwen publishes them."""
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
    read: dict[str, Any] = orjson.loads(path.read_bytes())
    return read
