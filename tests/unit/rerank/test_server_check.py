"""A server that answers wrongly is told apart by how: each cause has its own remedy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.loopback import Answer, Asked, ResponseModel, serving
from tests.real_models import bundled_model
from winnow.api.diagnostics.probe import _probe_embedder, _probe_reranker
from winnow.rerank.server_check import RERANKER_FLAGS, RERANKER_HEAD, RerankerCheck
from winnow.rerank.server_check import diagnose as cause_of_scores
from winnow.rerank.torch_reranker import TorchReranker
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.embed.qwen import QwenEmbedder
from winnow.retrieval.embed.server_check import EmbedderCheck
from winnow.retrieval.embed.server_check import diagnose as cause_of_vectors
from winnow.retrieval.errors import RerankUnavailable
from winnow.retrieval.model.folder import ModelFolder, find_model
from winnow.retrieval.model.known_answers import ModelKind, Text, only_order, parse
from winnow.retrieval.model.known_pairs import LONG_PAIR, long_passages
from winnow.retrieval.model.published import Recognised, RecognisedBy
from winnow.retrieval.vllm.client import CallFailed, Fault, ServerFacts, VllmClient
from winnow.retrieval.vllm.server_check import Asked as ServerAnswers

RIGHT = ((0.9, 0.1), (0.8, 0.2), (0.7, 0.1), (0.9, 0.3))


def recognised(*figures: tuple[float, float], kind: ModelKind = "reranker", by: str = "winnow.json") -> Recognised:
    """A model that is known to answer so; without figures, nothing is known."""
    known = parse([list(each) for each in figures], kind, default_source="a test") if figures else only_order(kind)
    return Recognised(name="somebody's", by=RecognisedBy(by), known=known)


def scores(*figures: tuple[float, float]) -> dict[Text, float]:
    """What a server answered to the known pairs."""
    known = parse([list(each) for each in figures], "reranker", default_source="a test")
    return {each.text: each.score or 0.0 for each in known.answers}


@pytest.mark.parametrize(
    ("figures", "cause", "remedy"),
    [
        ([(wrong, right) for right, wrong in RIGHT], "in reverse", '["no","yes"]'),
        ([(0.0, 0.0)] * 4, "every score is 0.0000", "without --quantization"),
        ([(0.5, 0.5)] * 4, "every score is 0.5000", RERANKER_FLAGS),
        ([(0.9, 0.1), (0.1, 0.9), (0.5, 0.5), (0.2, 0.3)], "noise", RERANKER_FLAGS),
        (
            [*RIGHT[:2], (0.4, 0.4), (0.3, 0.4)],
            "does not distinguish the known pairs in zh",
            "not trained on that language",
        ),
    ],
)
def test_each_way_to_be_wrong_has_a_cause_and_a_remedy(
    figures: list[tuple[float, float]], cause: str, remedy: str
) -> None:
    """They are told apart by the scores alone."""
    said = cause_of_scores(scores(*figures), recognised(), "somebody's") or ""
    assert cause in said
    assert remedy in said


def test_right_answers_have_no_cause() -> None:
    """With the order alone, and with known scores as far away as rounding takes them."""
    assert cause_of_scores(scores(*RIGHT), recognised(), "somebody's") is None
    known = [(right + 0.03, wrong - 0.03) for right, wrong in RIGHT]
    assert cause_of_scores(scores(*RIGHT), recognised(*known), "somebody's") is None


def test_the_right_order_with_other_scores_is_another_model() -> None:
    """Where the folder says what its model answers; in float32 the bound is narrower."""
    known = [(right, wrong - 0.06) for right, wrong in RIGHT]
    assert "another model of the family" in (cause_of_scores(scores(*RIGHT), recognised(*known), "x") or "")
    near = recognised(*[(right, wrong - 0.002) for right, wrong in RIGHT])
    assert cause_of_scores(scores(*RIGHT), near, "x", dtype="bfloat16") is None
    assert "at most 0.001 is rounding" in (cause_of_scores(scores(*RIGHT), near, "x", dtype="float32") or "")


def test_a_fine_tuned_model_may_have_other_scores() -> None:
    """It has the dimensions of a published one and not its name; its order must be right all the same."""
    known = [(right, wrong - 0.06) for right, wrong in RIGHT]
    assert cause_of_scores(scores(*RIGHT), recognised(*known, by="shape"), "x") is None
    assert cause_of_scores(scores(*RIGHT), recognised(*known, by="shape and name"), "x") is not None
    swapped = scores(*[(wrong, right) for right, wrong in RIGHT])
    assert "in reverse" in (cause_of_scores(swapped, recognised(*known, by="shape"), "x") or "")


def test_the_flags_in_messages_are_those_that_servers_are_started_with() -> None:
    """What a message advises is what `winnow vllm-command` prints."""
    assert f"--runner=pooling --hf-overrides='{RERANKER_HEAD}'" == RERANKER_FLAGS


def cosines(*figures: tuple[float, float], with_end: float = 0.1) -> ServerAnswers:
    """What an embedder's server answered, and the cosine of a long text with its end mark and without."""
    return ServerAnswers(scores=scores(*figures), without_end=with_end)


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        (cosines(*RIGHT, with_end=0.9999), "it pools all tokens or the first one"),
        (cosines(*((0.5, 0.6),) * 4), "it does not distinguish the known pairs ("),
        (cosines(*RIGHT[:2], *((0.5, 0.6),) * 2), "it does not distinguish the known pairs in zh"),
        (cosines(*((0.0, 0.0),) * 4), "vectors are all zeros"),
    ],
)
def test_wrong_vectors_have_a_cause(given: ServerAnswers, cause: str) -> None:
    """Told apart by the cosines alone."""
    assert cause in (cause_of_vectors(given, recognised(kind="embedder"), "x") or "")


def test_right_vectors_have_no_cause() -> None:
    """Other cosines than the known ones are another model's."""
    assert cause_of_vectors(cosines(*RIGHT), recognised(kind="embedder"), "x") is None
    assert cause_of_vectors(cosines(*RIGHT), recognised(*RIGHT, kind="embedder"), "x") is None
    known = recognised(*[(right, wrong + 0.05) for right, wrong in RIGHT], kind="embedder")
    assert "another model of the family" in (cause_of_vectors(cosines(*RIGHT), known, "x") or "")


def answering(
    scores: Sequence[float | None], *, tokens: dict[str, list[int]] | None = None, dtype: str | None = None
) -> Answer:
    """A classifier that gives these scores to whatever it is asked."""

    async def answer(asked: Asked) -> ResponseModel:
        if asked.path == "/v1/models":
            card = {"id": "m", "root": "/m", "max_model_len": 8_192} | ({"dtype": dtype} if dtype else {})
            return ResponseModel(body={"data": [card]})
        if asked.path == "/openapi.json":
            return ResponseModel(body={"paths": {"/classify": {}}})
        if asked.path == "/tokenize":
            return (
                ResponseModel(body={"tokens": tokens[asked.body["prompt"]]})
                if tokens
                else ResponseModel(body={}, status=404)
            )
        rows = [{"index": place, "probs": [score]} for place, score in enumerate(scores)]
        return ResponseModel(body={"data": rows})

    return answer


async def asked(answer: Answer, folder: ModelFolder, *, milliseconds: float = 5_000) -> str:
    """What the proof says to this server."""
    async with serving(answer) as server:
        client = VllmClient(server.url)
        try:
            await RerankerCheck.load(folder)(client, Deadline.after_ms(milliseconds))
        except RerankUnavailable as refused:
            return refused.detail
        finally:
            await client.close()
    return "accepted"


async def test_a_server_that_answers_as_the_model_does_is_accepted() -> None:
    """Also one that has no route to tell its tokens."""
    folder = bundled_model("reranker")
    known = scores_of(folder)
    assert await asked(answering(known), folder) == "accepted"
    assert "in reverse" in await asked(answering([1.0 - score for score in known]), folder)


async def test_other_scores_in_the_right_order_are_refused() -> None:
    """With the figures; a server that tells its number type is held to that type's bound."""
    folder = bundled_model("reranker")
    moved = [score + 0.03 for score in scores_of(folder)]
    assert "scores differ by up to 0.030 from those of winnow-rerank; at most 0.02" in await asked(
        answering(moved), folder
    )
    rounded = [score + 0.003 for score in scores_of(folder)]
    assert await asked(answering(rounded), folder) == "accepted"
    assert "at most 0.001 is rounding" in await asked(answering(rounded, dtype="float32"), folder)


async def test_the_published_examples_are_asked_along_with_the_known_pairs(tmp_path: Path) -> None:
    """Of a folder whose winnow.json has Qwen3's example: eight scores for the pairs, two for the example."""
    folder = tmp_path / "m"
    shutil.copytree(bundled_model("reranker").path, folder)
    example = {"query": "What is the capital of China?", "passage": "It is Beijing.", "relevant": True, "logit": 7.625}
    other = example | {"passage": "Gravity is a force.", "relevant": False, "logit": -11.375}
    settings = json.loads((folder / "winnow.json").read_text("utf-8"))
    settings["known_answers"] = {"source": "a card", "answers": [example, other]}
    (folder / "winnow.json").write_text(json.dumps(settings), "utf-8")
    found, pairs = find_model(str(folder), kind="reranker"), scores_of(bundled_model("reranker"))
    assert await asked(answering([*pairs, 0.9995, 0.00001]), found) == "accepted"
    assert "differ by up to 0.050" in await asked(answering([*pairs, 0.95, 0.00001]), found)
    assert "differ by up to" in await asked(answering([*pairs, 0.01, 0.9]), found)


def scores_of(folder: ModelFolder) -> list[float]:
    """What its winnow.json says that it answers to the known pairs, in the order in which they are asked."""
    assert folder.settings.known_answers is not None
    return [each.score or 0.0 for each in folder.settings.known_answers.answers]


async def test_scores_that_are_no_numbers_are_no_answer() -> None:
    """vLLM writes null for a NaN; the remedy stands beside what was seen."""
    said = await asked(answering([None] * 8), bundled_model("reranker"))
    assert "the score None is not a probability" in said
    assert RERANKER_FLAGS in said


async def test_the_servers_own_tokenizer_is_asked_for_yes_and_no() -> None:
    """Its head is made of what it calls by these words."""
    said = await asked(answering([0.5] * 8, tokens={"yes": [7]}), bundled_model("reranker"))
    assert "token 0 of 'yes' is 7 there, but 2212 in that of winnow-rerank" in said


async def test_a_server_that_is_gone_is_not_called_wrong() -> None:
    """Whoever asked knows what to do with that; no flag would help."""
    client = VllmClient("http://127.0.0.1:1")
    try:
        with pytest.raises(CallFailed) as failed:
            await RerankerCheck.load(bundled_model("reranker"))(client, Deadline.after_ms(5_000))
    finally:
        await client.close()
    assert failed.value.fault is Fault.GONE


def splitting(long: tuple[float, float], **said: object) -> Answer:
    """A classifier of the bundled model whose answers to the long pair are these; it says so much of itself."""
    short = scores_of(bundled_model("reranker"))

    async def answer(asked: Asked) -> ResponseModel:
        card = {"id": "m", "root": "/m", "max_model_len": 8_192}
        if asked.path == "/v1/models":
            return ResponseModel(
                body={"data": [card | {name: value for name, value in said.items() if name != "version"}]}
            )
        if asked.path == "/version":
            return (
                ResponseModel(body={"version": said["version"]})
                if "version" in said
                else ResponseModel(body={}, status=404)
            )
        if asked.path == "/classify":
            sent = asked.body["input"]
            assert len(sent) == 8 or [len(ids) for ids in sent] == [8_192, 8_192], (
                "the whole window, or the short pairs"
            )
            scores = short if len(sent) == 8 else long
            return ResponseModel(
                body={"data": [{"index": place, "probs": [score]} for place, score in enumerate(scores)]}
            )
        return ResponseModel(body={}, status=404)

    return answer


SHORT_STEPS = {"max_num_batched_tokens": 2_048, "compiled": True}


@pytest.mark.parametrize(
    ("long", "said", "cause"),
    [
        ((0.9, 0.1), {"version": "0.24.0", **SHORT_STEPS}, "it runs vLLM 0.24.0 with steps of 2048 tokens"),
        ((0.9, 0.1), {"version": "0.25.1.dev3+g1234", **SHORT_STEPS}, "--max-num-batched-tokens=8192"),
        ((0.5, 0.5), {"version": "0.24.0"}, "not with long passages"),
        ((0.1, 0.9), {}, "not with long passages"),
        ((0.5, 0.5), {"version": "0.24.0", "max_num_batched_tokens": 2_048, "compiled": False}, None),
        ((0.5, 0.5), {"version": "0.24.0", "max_num_batched_tokens": 8_192, "compiled": True}, None),
        ((0.5, 0.5), {"version": "0.26.0", **SHORT_STEPS}, None),
        ((0.5, 0.5), {"version": "1.0.0"}, None),
        ((0.9, 0.1), {"version": "0.24.0"}, None),
        ((0.9, 0.1), {"version": "a branch of somebody's"}, None),
    ],
)
async def test_a_server_that_may_split_inputs_wrongly_is_found(
    long: tuple[float, float], said: dict[str, object], cause: str | None
) -> None:
    """By its version and step where it tells them, else by a known pair that fills its window."""
    found = await asked(splitting(long, **said), bundled_model("reranker"), milliseconds=60_000)
    assert (cause or "accepted") in found


class GivenVectors(VllmClient):
    """Embeds the long pair so: the question, the passage that answers it, and the other one."""

    def __init__(self, *vectors: Sequence[float]) -> None:
        super().__init__("http://127.0.0.1:1")
        self.vectors = np.asarray(vectors, dtype=np.float32)
        self.asked: list[int] = []

    async def embed(self, inputs: Sequence[Sequence[int]], **_: object) -> np.ndarray:
        self.asked = [len(ids) for ids in inputs]
        return self.vectors


@pytest.mark.parametrize(
    ("version", "relevant", "cause"),
    [
        ("0.24.0", (0.0, 1.0), "not with long passages"),
        ("0.24.0", (0.9, 0.1), None),
        ("0.26.0", (0, 1), None),
    ],
)
async def test_an_embedders_server_is_asked_the_long_pair_too(
    version: str, relevant: tuple[float, float], cause: str | None
) -> None:
    """It pools the last token as a reranker does, and its inputs fill its window."""
    facts = ServerFacts(model="m", root=None, tokens_max=8_192, paths=frozenset(), version=version)
    client = GivenVectors((1.0, 0.0), relevant, (0.5, 0.5))
    found = await EmbedderCheck.load(bundled_model("embedder"))._check_long_inputs(
        client, facts, Deadline.after_ms(60_000)
    )
    await client.close()
    assert (cause or "") in (found or "")
    assert (found is None) == (cause is None)
    assert (max(client.asked, default=0) == 8_192) == (version < "0.26")


async def test_an_embedders_answers_are_cosines_whatever_the_length_of_its_vectors() -> None:
    """vLLM may be told not to normalise. Vectors of zeros are called that."""
    check = EmbedderCheck.load(bundled_model("embedder"))
    rows = np.random.default_rng(7).normal(size=(10, 8))  # four queries, four passages, a text with its end and without
    client = GivenVectors(*(3.0 * rows))
    asked = await check._ask(client, "salt", Deadline.after_ms(1_000))
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    expected = {
        (q, p): float(units[i] @ units[4 + j])
        for i, q in enumerate(check._queries)
        for j, p in enumerate(check._passages)
    }
    assert len(asked.scores) == 8
    assert asked.scores == pytest.approx({text: expected[text] for text in asked.scores}, abs=1e-5)
    assert asked.without_end == pytest.approx(float(units[8] @ units[9]), abs=1e-5)
    zeros = await check._ask(GivenVectors(*np.zeros((10, 8))), "salt", Deadline.after_ms(1_000))
    assert "vectors are all zeros" in (cause_of_vectors(zeros, check.model, "x") or "")
    await client.close()


async def test_the_bundled_models_tell_the_long_pair_apart() -> None:
    """What is asked of a server is answered rightly by the models themselves; over the whole window by tests/vllm."""
    relevant, irrelevant = long_passages(4_096)
    pair = replace(LONG_PAIR, relevant=relevant, irrelevant=irrelevant)
    reranker = TorchReranker.load(bundled_model("reranker"), device="cpu", dtype="float32")
    assert (await _probe_reranker(reranker, pair)).is_separated
    embedder = QwenEmbedder.load(bundled_model("embedder"), device="cpu", dtype="float32")
    assert (await _probe_embedder(embedder, pair)).is_separated
