"""Folders of other people's architectures, made on the spot: BERT and XLM-R with random weights and a few words.

Their scores are noise, which is what a comparison with the library needs. The same words are the vocabulary of all.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    BertTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForSequenceClassification,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
    XLMRobertaTokenizerFast,
)

from tests.tiny_models import SENTENCES
from tests.tiny_models import _tokenizer as qwen_tokenizer

LENGTH: Final = 64  # tokens of the longest input
_ROBERTA_OFFSET: Final = 2  # positions begin behind the padding id
_SPREAD: Final = 1.0  # of the random weights: scores should differ


def write_bert(folder: Path, *, labels: int = 1, length: int = LENGTH) -> Path:
    """Like ms-marco-MiniLM: lower case, token types, one label unless said."""
    config = BertConfig(
        vocab_size=save_bert_tokenizer(folder, length),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=length,
        num_labels=labels,
        initializer_range=_SPREAD,
    )
    torch.manual_seed(20260 + labels)
    _save(BertForSequenceClassification(config), folder)
    return folder


def write_xlm_roberta(folder: Path, *, labels: int = 1, length: int = LENGTH) -> Path:
    """Like bge-reranker: SentencePiece, no token types, positions behind the padding id."""
    config = XLMRobertaConfig(
        vocab_size=save_xlm_tokenizer(folder, length),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=length + _ROBERTA_OFFSET,
        type_vocab_size=1,
        pad_token_id=1,
        num_labels=labels,
        initializer_range=_SPREAD,
    )
    torch.manual_seed(20270 + labels)
    _save(XLMRobertaForSequenceClassification(config), folder)
    return folder


def write_bert_embedder(folder: Path, *, prompts: dict[str, str] | None = None, length: int = LENGTH) -> Path:
    """Like all-MiniLM: a folder of sentence-transformers with mean pooling."""
    config = BertConfig(
        vocab_size=save_bert_tokenizer(folder, length),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=length,
        initializer_range=_SPREAD,
    )
    torch.manual_seed(20280)
    _save(BertModel(config), folder)
    kinds = ("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")
    modules = [
        {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for place, (kind, path) in enumerate(kinds)
    ]
    _write_json(folder / "modules.json", modules)
    (folder / "1_Pooling").mkdir()
    _write_json(
        folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True}
    )
    _write_json(folder / "config_sentence_transformers.json", {"prompts": prompts or {}, "default_prompt_name": None})
    return folder


def write_qwen3_classifier(folder: Path, *, labels: int = 1) -> Path:
    """Like the conversions of Qwen3-Reranker to a sequence classifier."""
    config = Qwen3Config(
        **_decoder(save_qwen_tokenizer(folder)), head_dim=16, num_labels=labels, tie_word_embeddings=False
    )
    torch.manual_seed(20290 + labels)
    _save(Qwen3ForSequenceClassification(config), folder)
    return folder


def write_qwen2_causal(folder: Path) -> Path:
    """Like mxbai-rerank-v2: a causal model of another architecture than Qwen3."""
    torch.manual_seed(20300)
    _save(Qwen2ForCausalLM(Qwen2Config(**_decoder(save_qwen_tokenizer(folder)), tie_word_embeddings=False)), folder)
    return folder


def write_qwen3_vl(folder: Path) -> Path:
    """Like Qwen3-VL-Reranker, without what prepares pictures."""
    text = _decoder(save_qwen_tokenizer(folder)) | {"head_dim": 12}
    del text["pad_token_id"]
    rotation = {"rope_type": "default", "mrope_section": [2, 2, 2], "mrope_interleaved": True}
    sight = {"depth": 1, "hidden_size": 32, "num_heads": 2, "intermediate_size": 32, "out_hidden_size": 48}
    config = Qwen3VLConfig(
        text_config=text | {"rope_scaling": rotation}, vision_config=sight | {"deepstack_visual_indexes": [0]}
    )
    torch.manual_seed(20310)
    _save(Qwen3VLForConditionalGeneration(config), folder)
    return folder


def describe(folder: Path, **said: Any) -> Path:
    """Write a winnow.json."""
    _write_json(folder / "winnow.json", {"kind": "reranker", **said})
    return folder


def _decoder(vocabulary: int) -> dict[str, Any]:
    return {
        "vocab_size": vocabulary,
        "hidden_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 2_048,
        "initializer_range": 0.3,
        "pad_token_id": 0,
    }


def save_bert_tokenizer(folder: Path, length: int) -> int:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    built = Tokenizer(models.WordPiece(unk_token=special[1]))
    built.normalizer = normalizers.BertNormalizer(lowercase=True)
    built.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    # A trained vocabulary has another order in every process, and random weights then another model.
    letters = [chr(code) for code in range(33, 127)]
    texts = (built.normalizer.normalize_str(sentence) for sentence in SENTENCES)
    words = sorted({word for text in texts for word, _ in built.pre_tokenizer.pre_tokenize_str(text)})
    known = dict.fromkeys([*special, *letters, *(f"##{letter}" for letter in letters), *words])
    vocabulary = {piece: place for place, piece in enumerate(known)}
    built.model = models.WordPiece(vocabulary, unk_token=special[1])
    cls, sep = built.token_to_id("[CLS]"), built.token_to_id("[SEP]")
    built.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", cls), ("[SEP]", sep)]
    )
    folder.mkdir(parents=True, exist_ok=True)
    BertTokenizerFast(tokenizer_object=built, model_max_length=length).save_pretrained(folder)
    return built.get_vocab_size()


def save_xlm_tokenizer(folder: Path, length: int) -> int:
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    built = Tokenizer(models.Unigram())
    built.normalizer = normalizers.NFKC()
    built.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=special, unk_token=special[3], show_progress=False)
    built.train_from_iterator(SENTENCES * 4, trainer)
    begin, end = built.token_to_id("<s>"), built.token_to_id("</s>")
    built.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", begin), ("</s>", end)]
    )
    folder.mkdir(parents=True, exist_ok=True)
    XLMRobertaTokenizerFast(tokenizer_object=built, model_max_length=length).save_pretrained(folder)
    return built.get_vocab_size()


def save_qwen_tokenizer(folder: Path) -> int:
    built = qwen_tokenizer()
    folder.mkdir(parents=True, exist_ok=True)
    built.save(str(folder / "tokenizer.json"))
    _write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
    )
    return built.get_vocab_size(with_added_tokens=True)


def _save(model: Any, folder: Path) -> None:
    model.eval().save_pretrained(folder)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2), encoding="utf-8")
