"""Trains the byte-level BPE that both models share, with every added token of Qwen.

    python -m training.tokenizer --data DIR --qwen FOLDER_WITH_tokenizer_config.json --out DIR

Normaliser, pre-tokeniser and the 26 added tokens (with the flags of the published file) are Qwen's, so that code
written for the large models meets no surprise; only the pieces are ours.
"""

import argparse
import json
import random
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.processors import ByteLevel as ByteLevelProcessor
from tokenizers.processors import Sequence, TemplateProcessing
from tokenizers.trainers import BpeTrainer

from training.records import Passage, read_pairs, read_passages

PIECES = 20_000
QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Characters taken of each kind; else code and statutes would fill the vocabulary.
SHARES = {("en", "prose"): 16_000_000, ("zh", "prose"): 9_000_000, ("en", "code"): 5_000_000}


def sample(passages: list[Passage], queries: list[str], rng: random.Random) -> list[str]:
    texts = [query + " " for query in rng.sample(queries, min(60_000, len(queries)))]
    left = dict(SHARES)
    for passage in rng.sample(passages, len(passages)):
        kind = (passage.language, passage.kind)
        if left.get(kind, 0) > 0:
            left[kind] -= len(passage.text)
            texts.append(passage.text)
    return texts


def train(texts: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(BPE(byte_fallback=False))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN_SPLIT), behavior="isolated", invert=False),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    tokenizer.decoder = decoders.ByteLevel()
    # "yes" and "no" decide every score: repeated until each is certainly a single piece.
    texts = texts + ["yes no", "no yes"] * 2_000
    trainer = BpeTrainer(
        vocab_size=PIECES,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=24,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def add_tokens(tokenizer: Tokenizer, published: dict[str, object]) -> dict[str, dict[str, object]]:
    """Add Qwen's added tokens in their order, right after the pieces, as transformers lists them."""
    entries = [entry for _, entry in sorted(published.items(), key=lambda item: int(item[0]))]
    for entry in entries:
        token = AddedToken(
            entry["content"], lstrip=entry["lstrip"], rstrip=entry["rstrip"],
            single_word=entry["single_word"], normalized=entry["normalized"],
            special=entry["special"],
        )  # fmt: skip
        add = tokenizer.add_special_tokens if entry["special"] else tokenizer.add_tokens
        add([token])
    return {str(tokenizer.token_to_id(entry["content"])): entry for entry in entries}


def post_processors(tokenizer: Tokenizer) -> tuple[object, object]:
    """The reranker's, and the embedder's, which ends every text with <|endoftext|>."""
    bytes_only = ByteLevelProcessor(add_prefix_space=False, trim_offsets=False, use_regex=False)
    end = "<|endoftext|>"
    ending = TemplateProcessing(
        single=f"$A {end}", pair=f"$A {end} $B {end}",
        special_tokens=[(end, tokenizer.token_to_id(end))],
    )  # fmt: skip
    return bytes_only, Sequence([bytes_only, ending])


def write(tokenizer: Tokenizer, folder: Path, decoder: dict[str, object], pad: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "add_bos_token": False, "add_prefix_space": False, "added_tokens_decoder": decoder,
        "additional_special_tokens": [
            entry["content"] for entry in decoder.values()
            if entry["special"] and entry["content"] != pad
        ],
        "bos_token": None, "clean_up_tokenization_spaces": False, "eos_token": "<|im_end|>",
        "errors": "replace", "model_max_length": 32768, "pad_token": pad, "padding_side": "left",
        "split_special_tokens": False, "tokenizer_class": "Qwen2Tokenizer", "unk_token": None,
    }  # fmt: skip
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--qwen", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=2026)
    options = parser.parse_args()
    queries = [pair.query for pair in read_pairs(options.data)]
    texts = sample(read_passages(options.data), queries, random.Random(options.seed))
    tokenizer = train(texts)
    published = json.loads((options.qwen / "tokenizer_config.json").read_text(encoding="utf-8"))
    decoder = add_tokens(tokenizer, published["added_tokens_decoder"])
    plain, ending = post_processors(tokenizer)
    for name, processor in (("winnow-rerank", plain), ("winnow-embed", ending)):
        tokenizer.post_processor = processor
        write(tokenizer, options.out / name, decoder, "<|endoftext|>")
    for word in ("yes", "no"):
        assert tokenizer.token_to_id(word) is not None, f"{word!r} is not one piece"
    print("entries", tokenizer.get_vocab_size(), "yes", tokenizer.token_to_id("yes"),
          "no", tokenizer.token_to_id("no"))  # fmt: skip


if __name__ == "__main__":
    main()
