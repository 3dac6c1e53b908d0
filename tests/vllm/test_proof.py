"""Wrongly started servers, every one of which answers with status 200, are refused with the cause and the flags."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.vllm.servers import composed_flags, vllm
from winnow.api.diagnostics.doctor import examined
from winnow.api.diagnostics.model_answers import ask_server
from winnow.api.settings import Settings
from winnow.api.vllm.command import FRONT
from winnow.rerank.server_check import RERANKER_FLAGS, RerankerCheck
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.embed.server_check import EMBEDDER_FLAGS, EmbedderCheck
from winnow.retrieval.errors import EmbedderUnavailable, RerankUnavailable
from winnow.retrieval.model.folder import ModelFolder
from winnow.retrieval.model.known_answers import Verdict
from winnow.retrieval.vllm.client import VllmClient
from winnow.retrieval.vllm.identity import split_fault
from winnow.retrieval.vllm.pool import Proof

POOLING = ("--runner=pooling", "--max-model-len=8192")

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]


async def ask(proof: Proof, url: str) -> None:
    client = VllmClient(url)
    try:
        await proof(client, Deadline.after_ms(60_000))
    finally:
        await client.close()


async def refusal_by(proof: Proof, url: str) -> str:
    with pytest.raises((RerankUnavailable, EmbedderUnavailable)) as refused:
        await ask(proof, url)
    print(refused.value.detail)
    assert url in refused.value.detail
    return refused.value.detail


def head(**changed: object) -> str:
    """The override that makes a classifier of a reranker, changed."""
    flag = next(flag for flag in composed_flags("rerank") if flag.startswith("--hf-overrides="))
    said = json.loads(flag.removeprefix("--hf-overrides=")) | changed
    return "--hf-overrides=" + json.dumps({name: value for name, value in said.items() if value is not None})


def copy_of(folder: ModelFolder, to: Path, change: Callable[[Path], None]) -> Path:
    """The same model under a name that says nothing, changed."""
    shutil.copytree(folder.path, to)
    change(to)
    return to


def renumber(folder: Path) -> None:
    """Every ordinary token gets another id, as in another model's tokenizer."""
    file = folder / "tokenizer.json"
    definition = json.loads(file.read_text("utf-8"))
    vocabulary = definition["model"]["vocab"]
    definition["model"]["vocab"] = {token: (place + 7) % len(vocabulary) for token, place in vocabulary.items()}
    file.write_text(json.dumps(definition, ensure_ascii=False), "utf-8")


def sharpen(folder: Path) -> None:
    """The same order with other scores, as from another size of the family."""
    file = folder / "model.safetensors"
    weights = load_file(file)
    weights["model.norm.weight"] *= 1.5
    save_file(weights, file, metadata={"format": "pt"})


def shuffle(folder: Path) -> None:
    """The rows of every matrix of the layers change places: scores of the same size that say nothing."""
    file = folder / "model.safetensors"
    drawn = torch.Generator().manual_seed(0)
    weights = {
        name: weight[torch.randperm(len(weight), generator=drawn)] if "layers" in name and weight.ndim == 2 else weight
        for name, weight in load_file(file).items()
    }
    save_file(weights, file, metadata={"format": "pt"})


def keep(folder: Path) -> None:
    """Nothing is changed but the name."""


async def test_the_right_servers_are_accepted(
    reranker: ModelFolder, embedder: ModelFolder, judge_url: str, embed_url: str
) -> None:
    """Else no refusal below would mean anything. Their answers are the published ones, as in this process."""
    await ask(RerankerCheck.load(reranker), judge_url)
    await ask(EmbedderCheck.load(embedder), embed_url)
    for check, url in ((RerankerCheck.load(reranker), judge_url), (EmbedderCheck.load(embedder), embed_url)):
        found = await ask_server(check, url)
        print(found.summary)
        assert {each.verdict for each in found.comparisons} == {Verdict.MATCHES}
        assert max(abs(each.difference or 0.0) for each in found.comparisons) < 1e-3
        assert (found.remark, found.dtype) == (None, None)


async def test_inputs_that_take_several_steps_are_scored_rightly(reranker: ModelFolder, tmp_path: Path) -> None:
    """This version does; the long known pair is asked of one that might not. Our front tells version and step.

    Steps of 512 tokens, inputs of 8,192. Said to be 0.24 and compiled, the same server is refused.
    """
    flags = (*POOLING, head(), "--max-num-batched-tokens=512", "--max-num-seqs=64")
    with vllm(reranker.path, tmp_path / "log", *flags, program=(str(FRONT),)) as url:
        client, minutes = VllmClient(url), Deadline.after_ms(300_000)
        facts = await client.facts(minutes)
        assert (facts.step_tokens, facts.is_compiled, facts.tokens_max) == (512, False, 8_192)
        assert facts.dtype == "float32"
        assert (facts.version or "").startswith("0.")
        assert split_fault(replace(facts, version="0.24.0", is_compiled=True)) is not None
        proof = RerankerCheck.load(reranker)
        await proof(client, minutes)
        assert await proof._check_long_inputs(client, replace(facts, version=None, is_compiled=None), minutes) is None
        await client.close()


async def test_addresses_that_were_mixed_up(
    reranker: ModelFolder, embedder: ModelFolder, judge_url: str, embed_url: str
) -> None:
    """Both servers are right, each behind the other's setting."""
    said = await refusal_by(RerankerCheck.load(reranker), embed_url)
    assert "it has /v1/embeddings but not /classify" in said
    assert RERANKER_FLAGS in said
    said = await refusal_by(EmbedderCheck.load(embedder), judge_url)
    assert "it has /classify but not /v1/embeddings" in said
    assert EMBEDDER_FLAGS in said


async def test_no_overrides(reranker: ModelFolder, embedder: ModelFolder, tmp_path: Path) -> None:
    """vLLM makes an embedder of the reranker then; whoever wanted an embedder does not get this one either."""
    with vllm(copy_of(reranker, tmp_path / "model", keep), tmp_path / "log", *POOLING) as url:
        judged = await refusal_by(RerankerCheck.load(reranker), url)
        embedded = await refusal_by(EmbedderCheck.load(embedder), url)
    assert "it has /v1/embeddings but not /classify" in judged
    assert RERANKER_FLAGS in judged
    assert "a vector of 384 numbers; the local model has 512" in embedded
    assert f"it serves another model than {embedder.name}" in embedded


async def test_generating(reranker: ModelFolder, embedder: ModelFolder, tmp_path: Path) -> None:
    """What vLLM does with these models when it is told nothing, too."""
    with vllm(reranker.path, tmp_path / "log", "--runner=generate", "--max-model-len=8192") as url:
        judged = await refusal_by(RerankerCheck.load(reranker), url)
        embedded = await refusal_by(EmbedderCheck.load(embedder), url)
    for said, flags in ((judged, RERANKER_FLAGS), (embedded, EMBEDDER_FLAGS)):
        assert "it was started for text generation" in said
        assert flags in said


async def test_yes_and_no_swapped(reranker: ModelFolder, tmp_path: Path) -> None:
    """Every score is one minus the right one. `winnow doctor` shows them beside the known ones.

    The server has a wrong chat template, too: only its own /v1/rerank suffers.
    """
    template = tmp_path / "wrong.jinja"
    template.write_text("{{ 'the same for every text' }}", encoding="utf-8")
    flags = (*POOLING, head(classifier_from_token=["yes", "no"]), f"--chat-template={template}")
    with vllm(reranker.path, tmp_path / "log", *flags) as url:
        said = await refusal_by(RerankerCheck.load(reranker), url)
        found = await examined(Settings(data=tmp_path / "data", rerank_url=(url,)))
    assert "in reverse" in said
    assert '"classifier_from_token":["no","yes"] in this order' in said
    findings = {each.what: each for each in found.findings}
    assert "in reverse" in (findings["reranker"].problem or "")
    assert "0 of 8 within 0.02 of the figures of winnow-rerank" in (findings["reranker's known answers"].problem or "")
    assert "--chat-template is missing or wrong" in findings["reranker's known answers"].found
    served = next(each for each in found.answers if each.is_served)
    assert served.likely_causes[0].startswith("The order is reversed")
    assert any("Flags: start vLLM with --runner=pooling --hf-overrides=" in each for each in served.likely_causes)
    assert not found.response()["ok"]


async def test_another_tokenizer(reranker: ModelFolder, tmp_path: Path) -> None:
    """The head is then made of the rows of two other words."""
    with vllm(copy_of(reranker, tmp_path / "model", renumber), tmp_path / "log", *POOLING, head()) as url:
        said = await refusal_by(RerankerCheck.load(reranker), url)
    assert "token 0 of 'yes' is 2219 there, but 2212 in that of winnow-rerank" in said
    assert "without --tokenizer" in said


async def test_another_model(reranker: ModelFolder, tmp_path: Path) -> None:
    """One of the same shape that was trained for something else answers with noise."""
    with vllm(copy_of(reranker, tmp_path / "model", shuffle), tmp_path / "log", *POOLING, head()) as url:
        said = await refusal_by(RerankerCheck.load(reranker), url)
    assert "its scores are noise" in said
    assert f"another model than {reranker.name}" in said


async def test_another_model_of_the_family(reranker: ModelFolder, tmp_path: Path) -> None:
    """It tells the known pairs apart as well; only their scores give it away."""
    with vllm(copy_of(reranker, tmp_path / "model", sharpen), tmp_path / "log", *POOLING, head()) as url:
        said = await refusal_by(RerankerCheck.load(reranker), url)
    assert "distinguishes the known pairs, but its scores differ by up to" in said
    assert "another model of the family" in said


async def test_a_context_too_short(reranker: ModelFolder, tmp_path: Path) -> None:
    """The known pairs would fit; what is longer would be refused request by request."""
    with vllm(reranker.path, tmp_path / "log", "--runner=pooling", "--max-model-len=256", head()) as url:
        said = await refusal_by(RerankerCheck.load(reranker), url)
    assert "accepts at most 256 tokens" in said
    assert "--max-model-len=8192" in said


async def test_a_head_of_two_classes(reranker: ModelFolder, tmp_path: Path) -> None:
    """vLLM makes one up when it is told to classify and not how.

    Of memory as it finds it: where that makes numbers that are none, it cannot write its answer, and refuses.
    """
    with vllm(reranker.path, tmp_path / "log", *POOLING, "--convert=classify") as url:
        said = await refusal_by(RerankerCheck.load(reranker), url)
    assert "without exactly one score" in said or "/classify: status 400" in said
    assert "its head has other classes" in said
    assert RERANKER_FLAGS in said


async def test_a_head_that_was_not_read(reranker: ModelFolder, tmp_path: Path) -> None:
    """One class, and no word about which tokens it is made of: vLLM leaves the memory as it finds it.

    Mostly every score is then a half; 0.0000 was seen too. What lies there decides for which cause it is refused, and
    never whether (tests/unit/rerank/test_server_check.py holds each cause with its flags).
    """
    flags = (*POOLING, head(classifier_from_token=None, is_original_qwen3_reranker=None, num_labels=1))
    with vllm(reranker.path, tmp_path / "log", *flags) as url:
        said = await refusal_by(RerankerCheck.load(reranker), url)
    causes = ("whatever the input", "does not distinguish", "in reverse", "/classify: status 400")
    assert any(cause in said for cause in causes), said


async def test_an_embedder_that_pools_the_mean(embedder: ModelFolder, tmp_path: Path) -> None:
    """Its vectors have the right width and length, and find something else."""
    with vllm(embedder.path, tmp_path / "log", *POOLING, '--pooler-config={"pooling_type":"MEAN"}') as url:
        said = await refusal_by(EmbedderCheck.load(embedder), url)
    assert "it pools all tokens or the first one" in said
    assert "without --pooler-config" in said
