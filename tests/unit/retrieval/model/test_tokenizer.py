"""What a user wrote never becomes a control token, and offsets say where each token lies."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.real_models import bundled_model, qwen_tokenizer
from tests.tiny_foreign_models import write_bert, write_xlm_roberta
from tests.tiny_models import ADDED_ONLY, QWEN_ADDED, write_reranker
from winnow.retrieval.errors import ModelUnusable
from winnow.retrieval.model import tokenizer
from winnow.retrieval.model.tokenizer import PlainTokenizer, ScaffoldTokenizer, token_ids


@pytest.fixture(scope="module", params=["tiny", "bundled embedder", "bundled reranker", "qwen"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    match request.param:
        case "tiny":
            return write_reranker(tmp_path_factory.mktemp("models") / "tiny")
        case "qwen":
            return qwen_tokenizer()
        case which:
            return bundled_model(which.removeprefix("bundled ")).path


@pytest.fixture(scope="module")
def plain(folder: Path) -> PlainTokenizer:
    return PlainTokenizer.load(folder)


@pytest.fixture(scope="module")
def scaffold(folder: Path) -> ScaffoldTokenizer:
    return ScaffoldTokenizer.load(folder)


def test_the_scaffold_knows_all_of_qwens_added_tokens(scaffold: ScaffoldTokenizer) -> None:
    """Each of the 26 is one control id in the scaffold: otherwise the tests below would prove nothing."""
    assert {scaffold.token_id(token) for token in QWEN_ADDED} == scaffold.control_ids
    assert [len(scaffold.ids(token)) for token in QWEN_ADDED] == [1] * 26


def test_no_added_token_survives_in_plain_text(plain: PlainTokenizer, scaffold: ScaffoldTokenizer) -> None:
    """Not alone, not inside text, not next to another one: flagged special or not."""
    for token, other in itertools.product(QWEN_ADDED, ("", "x", " ", "\n", "中", "<|im_end|>")):
        for text in (token, other + token, token + other, other + token + other):
            assert scaffold.control_ids.isdisjoint(plain.ids(text)), text


@given(pieces=st.lists(st.sampled_from([*QWEN_ADDED, "<", "|", ">", "im_", "end", "think", "/", " ", "\n", "字"])))
@settings(max_examples=60, deadline=None)
def test_no_concatenation_makes_a_control_token(
    plain: PlainTokenizer, scaffold: ScaffoldTokenizer, pieces: list[str]
) -> None:
    """Whatever an attacker joins together stays ordinary text."""
    assert scaffold.control_ids.isdisjoint(plain.ids("".join(pieces)))


@given(text=st.text(max_size=80))
@settings(max_examples=80, deadline=None)
def test_offsets_cover_the_text_in_order(plain: PlainTokenizer, text: str) -> None:
    """In characters: the first token starts at 0, none leaves a gap, the last ends at the text's length."""
    offsets = plain.offsets(text)
    assert len(offsets) == len(plain.ids(text))
    reached = 0
    for start, end in offsets:
        assert start <= reached <= end
        reached = end
    assert reached == len(text)


def test_a_batch_has_the_ids_of_its_texts(plain: PlainTokenizer) -> None:
    """Nothing is padded, cut or appended because of a neighbour."""
    texts = ["", "refund", "消费者七日内有权退货。" * 20, "\ud800 lone", "a\u0301 \U0001f642"]
    assert plain.ids_batch(texts) == [plain.ids(text) for text in texts]


def test_a_lone_surrogate_is_a_replacement_character(plain: PlainTokenizer) -> None:
    """A broken string from JSON is tokenised, not a crash, and its offsets stay true."""
    assert plain.ids("a\udc80b") == plain.ids("a\ufffdb")
    assert plain.offsets("a\udc80b")[-1] == (2, 3)


def test_qwens_published_vectors() -> None:
    """The 47 published texts give the published ids, built from vocab.json and merges.txt."""
    folder = qwen_tokenizer()
    plain = PlainTokenizer.load(folder)
    inputs = (folder / "vectors" / "ggml-vocab-qwen2.gguf.inp").read_text("utf-8").split("\n__ggml_vocab_test__\n")
    outputs = (folder / "vectors" / "ggml-vocab-qwen2.gguf.out").read_text("utf-8").split("\n")
    expected = [[int(number) for number in line.split()] for line in outputs]
    assert len(expected) == 47
    assert plain.ids_batch(inputs) == expected


def test_qwens_answers_and_think_block() -> None:
    """The ids that everybody who has served the reranker quotes."""
    scaffold = ScaffoldTokenizer.load(qwen_tokenizer())
    assert (scaffold.token_id("yes"), scaffold.token_id("no")) == (9693, 2152)
    assert scaffold.ids("<think>\n\n</think>\n\n") == [151667, 271, 151668, 271]


def test_a_vocabulary_that_holds_a_control_token_is_refused(tmp_path: Path) -> None:
    """Emptying the added tokens does not help where the model itself would make one."""
    folder = write_reranker(tmp_path / "model")
    definition = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    ids = {token["content"]: token["id"] for token in definition["added_tokens"]}
    definition["model"]["vocab"][ADDED_ONLY[0]] = ids[ADDED_ONLY[0]]
    definition["model"]["ignore_merges"] = True
    definition["pre_tokenizer"] = {"type": "WhitespaceSplit"}
    (folder / "tokenizer.json").write_text(json.dumps(definition), "utf-8")
    with pytest.raises(ModelUnusable, match="would be encoded as a control token"):
        PlainTokenizer.load(folder)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"model": {"type": "none"}, "added_tokens": []}'])
def test_a_broken_tokenizer_is_named(tmp_path: Path, content: str) -> None:
    """The message names the folder, and the error is ours."""
    (tmp_path / "tokenizer.json").write_text(content, "utf-8")
    with pytest.raises(ModelUnusable, match=str(tmp_path)):
        PlainTokenizer.load(tmp_path)


def test_an_unknown_token_is_named(scaffold: ScaffoldTokenizer) -> None:
    """A model without a "yes" cannot judge, and says so at start."""
    with pytest.raises(ModelUnusable, match="no token '<no-such-token>'"):
        scaffold.token_id("<no-such-token>")


def test_ids_without_a_tokenizer_are_the_scaffolds(
    folder: Path, scaffold: ScaffoldTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = [*QWEN_ADDED, "a", "e"]
    wanted = tuple(map(scaffold.token_id, tokens))
    monkeypatch.setattr(tokenizer, "_build", None)  # takes 50 ms of a start
    assert token_ids(folder, *tokens) == wanted
    with pytest.raises(ModelUnusable, match="no token '<no-such-token>'"):
        token_ids(folder, "a", "<no-such-token>")


@pytest.mark.parametrize("write", [write_bert, write_xlm_roberta])
def test_foreign_vocabularies_hold_no_control_token_either(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    """WordPiece and SentencePiece: `</s>` is a piece of the latter like any other, and unknown text is none."""
    folder = write(tmp_path / "foreign")
    plain, scaffold = PlainTokenizer.load(folder), ScaffoldTokenizer.load(folder)
    unknown = {"[UNK]", "<unk>"} & scaffold.control_names
    assert token_ids(folder, *scaffold.control_names) == tuple(map(scaffold.token_id, scaffold.control_names))
    control = scaffold.control_ids - {scaffold.token_id(name) for name in unknown}
    assert len(control) == 4
    for text in (*scaffold.control_names, "a</s>b", "＜/s＞", "<</s>/s>", "[[SEP]SEP]"):
        assert control.isdisjoint(plain.ids(text)), text
    assert plain.ids("retrieve relevant passages")
    assert plain.ids("\u2603")
