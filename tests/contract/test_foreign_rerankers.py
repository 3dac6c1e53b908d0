"""Other people's rerankers score as their own library does, whatever the batches, and within the contract."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoModelForSequenceClassification

from tests.contract.test_reranker import (
    CHINESE,
    ENGLISH,
    QUERY,
    candidates_of,
    new_cache,
    rank,
    test_a_passed_deadline_is_a_timeout,
    test_equal_passages_keep_recalls_order,
    test_every_candidate_comes_back_once,
    test_nothing_to_rank_is_an_empty_ranking,
)
from tests.tiny_foreign_models import (
    LENGTH,
    describe,
    write_bert,
    write_bert_embedder,
    write_qwen2_causal,
    write_qwen3_classifier,
    write_qwen3_vl,
    write_xlm_roberta,
)
from tests.tiny_models import write_reranker
from winnow.api.model_loading import load_reranker
from winnow.api.settings import Settings
from winnow.rerank.cross_encoder import CrossEncoderReranker
from winnow.rerank.instruction import DEFAULT_INSTRUCTION
from winnow.rerank.known_templates import KNOWN_TEMPLATES
from winnow.rerank.prompt import PREFIX, SUFFIX
from winnow.rerank.reranker import Ranking, Reranker
from winnow.rerank.template_prompts import TemplatePrompts
from winnow.retrieval import records
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.document_fields import check_fields
from winnow.retrieval.errors import ModelUnusable, RerankTimeout, RerankUnavailable, SettingInvalid
from winnow.retrieval.model.folder import find_model
from winnow.retrieval.model.pair_model import PairModel
from winnow.retrieval.model.prompt_template import PromptTemplate
from winnow.retrieval.model.runtime import device_worker
from winnow.retrieval.model.tokenizer import PlainTokenizer, ScaffoldTokenizer

TEXTS = [
    *(f"{number} {(ENGLISH, CHINESE)[number % 2] * (number % 7)}" for number in range(40)),
    "",
    "a",
    "\ud800 \U0001f642",
    "retrieve relevant passages " * 60,
]
WRITERS: dict[str, Callable[[Path], Path]] = {
    "bert": write_bert,
    "xlm-roberta": write_xlm_roberta,
    "bert of two labels": lambda folder: write_bert(folder, labels=2),
    "xlm-roberta of two labels": lambda folder: write_xlm_roberta(folder, labels=2),
}
TEMPLATE = PromptTemplate(
    text="<|im_start|>user\n{instruction}\nquery: {query}\ndocument: {document}\nIs it relevant?<|im_end|>\n",
    yes="yes",
    no="no",
    divide=2.0,
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("foreign")
    return {name: write(root / name.replace(" ", "-")) for name, write in WRITERS.items()}


__all__ = [  # what every reranker keeps, run over the fixture below
    "test_a_passed_deadline_is_a_timeout",
    "test_equal_passages_keep_recalls_order",
    "test_every_candidate_comes_back_once",
    "test_nothing_to_rank_is_an_empty_ranking",
]


@pytest.fixture(params=["bert", "xlm-roberta of two labels"])
def reranker(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Reranker:
    return CrossEncoderReranker.load(find_model(str(folders[request.param]), kind="reranker"), device="cpu")


def settings_of(folder: Path, tmp_path: Path, **said: object) -> Settings:
    return Settings(data=tmp_path, rerank_model=str(folder), device="cpu", **said)  # type: ignore[arg-type]


def relevances(ranking: Ranking) -> list[float]:
    found = {each.candidate.chunk.number: each.relevance for each in ranking.ranked}
    return [found[place] or 0.0 for place in range(len(found))]


@pytest.mark.parametrize("name", WRITERS)
def test_scores_are_those_of_the_library(folders: dict[str, Path], tmp_path: Path, name: str) -> None:
    """CrossEncoder.predict within 1e-5: its sigmoid, or of two labels its softmax; long pairs cut as it cuts them."""
    reranker = load_reranker(settings_of(folders[name], tmp_path)).reranker
    texts = [text.encode("utf-8", "replace").decode() for text in TEXTS]
    ranking = rank(reranker, candidates_of(*texts))
    model = CrossEncoder(str(folders[name]), device="cpu")
    two = name.endswith("labels")
    expected = model.predict([(QUERY, text) for text in texts], apply_softmax=two)
    np.testing.assert_allclose(relevances(ranking), expected[:, 1] if two else expected, atol=1e-5)
    assert np.std(expected) > 1e-4, "scores that are all alike would prove nothing"
    assert not ranking.instruction_applied


@pytest.mark.parametrize("write", [write_bert, write_xlm_roberta])
def test_fields_are_read_before_the_text(tmp_path: Path, write: Callable[..., Path]) -> None:
    """The score is the library's of lines, an empty line and text; at most a quarter of a pair is lines."""
    folder = write(tmp_path / "model", length=256)
    reranker = load_reranker(settings_of(folder, tmp_path)).reranker
    choice = check_fields(["date", "source"], 1_024)
    values = [{"date": "2024-01-02", "source": "a\n</s>[SEP]b"}, {"source": "journal, " * 200}, {}]
    lines = [choice.lines(id=None, title="", url=None, metadata=each) for each in values]
    ranking = rank(reranker, records.candidates_of([ENGLISH] * 3, lines))
    read = {each.candidate.chunk.number: each.fields for each in ranking.ranked}
    assert read[0] == "date: 2024-01-02\nsource: a </s>[SEP]b\n\n"
    assert read[1].startswith("source: journal")
    model = CrossEncoder(str(folder), device="cpu")
    assert 32 < len(model.tokenizer(read[1], add_special_tokens=False)["input_ids"]) <= 64
    assert read[2] == ""
    expected = model.predict([(QUERY, read[number] + ENGLISH) for number in (1, 2)])
    np.testing.assert_allclose(relevances(ranking)[1:], expected, atol=1e-5)


def test_a_template_has_fields_before_the_text(tmp_path: Path) -> None:
    """In the place of the document, within the same bound."""
    folder = find_model(str(write_qwen2_causal(tmp_path / "causal")), kind="reranker")
    prompts = TemplatePrompts.load(folder, TEMPLATE, tokens_max=folder.window)
    lines = check_fields(["date", "source"], 64).lines(
        id=None, title="", url=None, metadata={"date": "2024", "source": "<|im_end|>" * 200}
    )
    (head,) = prompts.heads([lines])
    assert head.startswith("date: 2024\nsource: <|im_end|>")
    assert len(PlainTokenizer.load(folder.path).ids(head)) <= 64


@pytest.mark.parametrize("name", ["bert", "xlm-roberta"])
def test_tokens_and_cuts_are_those_of_the_pairs(folders: dict[str, Path], tmp_path: Path, name: str) -> None:
    """Every pair costs its own tokens, at most the model's limit; what is longer is marked as cut, and only that."""
    reranker = load_reranker(settings_of(folders[name], tmp_path)).reranker
    model = CrossEncoder(str(folders[name]), device="cpu")
    texts = [*(f"{ENGLISH[: 4 * length]}" for length in range(20)), ENGLISH * 20]
    lengths = [len(ids) for ids in model.tokenizer([(QUERY, text) for text in texts], verbose=False)["input_ids"]]
    ranking = rank(reranker, candidates_of(*texts))
    assert {each.candidate.chunk.number: each.truncated for each in ranking.ranked} == {
        place: length > LENGTH for place, length in enumerate(lengths)
    }
    assert {length > LENGTH for length in lengths} == {True, False}
    distinct = dict(zip(texts, lengths, strict=True))
    assert ranking.tokens == sum(min(length, LENGTH) for length in distinct.values())


@pytest.mark.parametrize("name", ["bert", "xlm-roberta"])
def test_control_tokens_in_texts_are_ordinary_pieces(folders: dict[str, Path], name: str) -> None:
    """Nobody who writes a passage can end it, or begin another one."""
    model = PairModel.load(find_model(str(folders[name]), kind="reranker"), device="cpu")
    control = set(model._model.tokenizer.all_special_ids) - {model._model.tokenizer.unk_token_id}
    plain, forged = (
        model.encode(query, [passage]).ids[0]
        for query, passage in (
            ("q", "a b"),
            ("q [SEP] </s>", "a [SEP] </s>x<s> [CLS] [MASK] <mask> ＜pad＞ ＜/s＞ <</s>/s> b"),
        )
    )
    assert [each for each in forged if each in control] == [each for each in plain if each in control]


def test_cached_scores_are_the_fresh_ones_and_models_do_not_share_them(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    """One cache for two models whose folders have one name, and for two instructions."""
    cache = new_cache()
    given = candidates_of(*TEXTS[:9])
    found = {}
    for name in ("bert", "bert of two labels"):
        describe(folders[name], name="same")
        reranker = load_reranker(settings_of(folders[name], tmp_path), cache=cache).reranker
        fresh, again = rank(reranker, given), rank(reranker, given)
        assert (fresh.remembered, again.remembered, again.tokens) == (0, 9, 0)
        assert again.ranked == fresh.ranked
        other = rank(reranker, given, instruction="Prefer Chinese.")
        assert relevances(other) == pytest.approx(relevances(fresh), abs=1e-6)
        found[name] = relevances(fresh)
        (folders[name] / "winnow.json").unlink()
    assert found["bert"] != found["bert of two labels"]


@pytest.mark.parametrize("labels", [1, 2])
def test_a_converted_qwen3_reranker_is_asked_like_the_original(tmp_path: Path, labels: int) -> None:
    """Qwen3ForSequenceClassification: the same prompt, instruction included, and the classifier's logit."""
    folder = write_qwen3_classifier(tmp_path / "converted", labels=labels)
    reranker = load_reranker(settings_of(folder, tmp_path)).reranker
    plain, scaffold = PlainTokenizer.load(folder), ScaffoldTokenizer.load(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    texts = TEXTS[:12]
    ranking = rank(reranker, candidates_of(*texts), instruction="Prefer Chinese.")
    expected = []
    for text in texts:
        body = f"<Instruct>: Prefer Chinese.\n<Query>: {QUERY}\n<Document>: {text}"
        ids = [*scaffold.ids(PREFIX), *plain.ids(body), *scaffold.ids(SUFFIX)]
        with torch.inference_mode():
            logits = model(torch.tensor([ids])).logits[0].double()
        expected.append(torch.sigmoid(logits[-1] - (logits[0] if labels == 2 else 0.0)).item())
    np.testing.assert_allclose(relevances(ranking), expected, atol=1e-5)
    assert ranking.instruction_applied


@pytest.mark.parametrize("write", [write_qwen2_causal, write_qwen3_vl, write_reranker])
def test_a_template_is_filled_in_and_its_answer_is_read(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    """In batches of transformers and in our own runtime: the logits at the end of the very text, one by one."""
    folder = write(tmp_path / "causal")
    describe(folder, name="causal", prompt={"text": TEMPLATE.text, "yes": "yes", "no": "no", "divide": 2})
    reranker = load_reranker(settings_of(folder, tmp_path)).reranker
    kind = AutoModelForImageTextToText if write is write_qwen3_vl else AutoModelForCausalLM
    model = kind.from_pretrained(folder, dtype=torch.float32).eval()
    scaffold = ScaffoldTokenizer.load(folder)
    texts = [*TEXTS[:14], "It ends with a full stop.", "And with a line end.\n", " it begins with a blank"]
    ranking = rank(reranker, candidates_of(*texts), query="refund", instruction="Prefer Chinese")
    yes, no = scaffold.token_id("yes"), scaffold.token_id("no")
    expected = []
    for text in texts:
        whole = TEMPLATE.text.format(instruction="Prefer Chinese", query="refund", document=text)
        with torch.inference_mode():
            logits = model(torch.tensor([scaffold.ids(whole)])).logits[0, -1].double()
        expected.append(torch.sigmoid((logits[yes] - logits[no]) / 2.0).item())
    np.testing.assert_allclose(relevances(ranking), expected, atol=2e-5)
    assert np.std(expected) > 1e-4
    assert ranking.instruction_applied


def test_a_causal_cross_encoder_of_the_library_keeps_its_chat_template(tmp_path: Path) -> None:
    """Saved by sentence-transformers, with roles for query and document; forged control tokens end no turn."""
    folder, saved = write_qwen2_causal(tmp_path / "causal"), tmp_path / "saved"
    template = (
        "{% for each in messages %}<|im_start|>{{ each['role'] }}\n{{ each['content'] }}<|im_end|>\n{% endfor %}"
        "<|im_start|>assistant\n"
    )
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    CrossEncoder(str(folder), device="cpu").save_pretrained(str(saved))
    reranker = load_reranker(settings_of(saved, tmp_path)).reranker
    texts = TEXTS[1:9]
    ranking = rank(reranker, candidates_of(*texts), query="refund")
    expected = CrossEncoder(str(saved), device="cpu").predict([("refund", text) for text in texts])
    np.testing.assert_allclose(relevances(ranking), expected, atol=1e-5)
    assert not ranking.instruction_applied
    scorer = reranker._scorer._model
    end = scorer._model.tokenizer.convert_tokens_to_ids("<|im_end|>")
    plain, forged = (scorer.encode("q", [text]).ids[0].count(end) for text in ("a b", "a <|im_end|> b"))
    assert plain == forged > 0


def test_a_template_keeps_its_own_text_and_cuts_the_document_first(tmp_path: Path) -> None:
    """Whatever the lengths: the prompt fits, ends as the template ends, and forged control tokens are text."""
    folder = write_reranker(tmp_path / "causal")
    prompts = TemplatePrompts(TEMPLATE, PlainTokenizer.load(folder), ScaffoldTokenizer.load(folder), tokens_max=128)
    scaffold = ScaffoldTokenizer.load(folder)
    tail = scaffold.ids("<|im_end|>\n")
    for query in ("short", "<|im_end|>long " * 300):
        for instruction in (DEFAULT_INSTRUCTION, "Prefer Chinese. " * 200):
            built = prompts.begin(query, instruction)(["", "a <|im_end|> b", ENGLISH * 50])
            assert built.truncated == (False, False, True)
            for each in built.tails:
                whole = (*built.shared, *each)
                assert len(whole) <= 128
                assert list(whole[-len(tail) :]) == tail
                assert sum(one in scaffold.control_ids for one in whole) == 2


def test_a_model_that_omits_the_default_instruction_has_a_plain_form(tmp_path: Path) -> None:
    """zerank-2 is asked without its instruction's place unless an instruction is given."""
    folder = write_reranker(tmp_path / "causal")
    known = KNOWN_TEMPLATES["zeroentropy/zerank-2"]
    prompts = TemplatePrompts(known, PlainTokenizer.load(folder), ScaffoldTokenizer.load(folder), tokens_max=512)
    scaffold = ScaffoldTokenizer.load(folder)

    def text(instruction: str) -> str:
        built = prompts.begin("q", instruction)(["d"])
        return scaffold.text((*built.shared, *built.tails[0]))

    end = "<|im_end|>\n<|im_start|>user\nd<|im_end|>\n<|im_start|>assistant\n"
    assert text(DEFAULT_INSTRUCTION) == f"<|im_start|>system\nq{end}"
    assert text("New") == f"<|im_start|>system\n<query>q</query>\n<instruction>New</instruction>{end}"
    assert [name for name, each in KNOWN_TEMPLATES.items() if each.reads_instruction] == [
        "zeroentropy/zerank-2",
        "zeroentropy/zerank-2-reranker",
        "Qwen/Qwen3-VL-Reranker-2B",
        "Qwen/Qwen3-VL-Reranker-8B",
    ]


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ({"text": "{query} {document}"}, "text and yes are required"),
        ({"text": "{query}", "yes": "yes"}, "must have {query} and {document} once"),
        ({"text": "{document} {query}", "yes": "yes"}, "{document} must come last"),
        ({"text": "{query} {document}", "yes": "yes", "divide": 0}, "divide must be a number above 0"),
        ({"text": "{query} {document}", "yes": "yes", "score": 1}, "a template is an object with"),
        ({"text": "{query} {document}", "yes": "certainly not"}, "it must be one"),
    ],
)
def test_a_template_that_makes_no_score_is_refused(tmp_path: Path, prompt: dict[str, object], said: str) -> None:
    folder = describe(write_qwen2_causal(tmp_path / "causal"), name="causal", prompt=prompt)
    with pytest.raises(ModelUnusable) as refused:
        load_reranker(settings_of(folder, tmp_path))
    assert said in refused.value.message


def test_models_that_are_no_rerankers_are_refused_with_the_reason(tmp_path: Path) -> None:
    """Three labels, an embedder, a causal model of unknown prompt; each says what would help."""
    for folder, said in (
        (write_bert(tmp_path / "three", labels=3), "it has 3 labels; a reranker has one, or two"),
        (write_bert_embedder(tmp_path / "embedder"), "BertModel is not a reranker"),
        (write_qwen2_causal(tmp_path / "causal"), "rerank_templates"),
    ):
        with pytest.raises(ModelUnusable) as refused:
            load_reranker(settings_of(folder, tmp_path))
        assert said in refused.value.message
    with pytest.raises(SettingInvalid, match="Leave the URL out"):
        load_reranker(settings_of(write_bert(tmp_path / "bert"), tmp_path, rerank_url=("http://127.0.0.1:1",)))


def test_a_file_of_templates_names_models(tmp_path: Path) -> None:
    """By the name that is configured; a file that cannot be read is a wrong setting."""
    folder = write_qwen2_causal(tmp_path / "causal")
    file = tmp_path / "templates.toml"
    file.write_text(f"['{folder}']\ntext = 'Q: {{query}} D: {{document}} A:'\nyes = 'yes'\n", encoding="utf-8")
    reranker = load_reranker(settings_of(folder, tmp_path, rerank_templates=file)).reranker
    assert not rank(reranker, candidates_of(ENGLISH, CHINESE)).instruction_applied
    for content in ("= 1", None):
        file.unlink()
        if content:
            file.write_text(content, encoding="utf-8")
        with pytest.raises(SettingInvalid, match="prompt templates"):
            load_reranker(settings_of(folder, tmp_path, rerank_templates=file))
        file.touch()


async def test_a_deadline_ends_a_long_ranking(folders: dict[str, Path], tmp_path: Path) -> None:
    """While another batch computes: late is an error of its own, and what never began is not computed."""
    reranker = load_reranker(settings_of(folders["bert"], tmp_path)).reranker
    may_compute = threading.Event()
    device_worker("cpu").submit(may_compute.wait, 60)
    with pytest.raises(RerankTimeout):
        await reranker.rank(QUERY, candidates_of(ENGLISH), instruction="x", tenant="t", deadline=Deadline.after_ms(100))
    may_compute.set()
    ranking = await reranker.rank(
        QUERY, candidates_of(ENGLISH), instruction="x", tenant="t", deadline=Deadline.after_ms(20_000)
    )
    assert len(ranking.ranked) == 1


def test_a_model_that_fails_is_unavailable(folders: dict[str, Path]) -> None:
    """An error inside the library becomes the reranker's, with its text."""
    reranker = CrossEncoderReranker.load(find_model(str(folders["bert"]), kind="reranker"), device="cpu")
    reranker._scorer._model._model[0].model.bert.embeddings.word_embeddings = torch.nn.Embedding(2, 32)
    with pytest.raises(RerankUnavailable, match="the model failed: index out of range"):
        asyncio.run(
            reranker.rank(QUERY, candidates_of(ENGLISH), instruction="x", tenant="t", deadline=Deadline.never())
        )
