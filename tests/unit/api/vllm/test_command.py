"""Every server is started with flags that follow from the model and the machine, and no plan promises memory twice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.tiny_models import write_embedder, write_reranker
from winnow.api.settings import Quantization
from winnow.api.vllm.command import FRONT, Shortage, VllmCommand, Wanted, plan_commands, shrink
from winnow.api.vllm.machine import Gpu, Machine
from winnow.api.vllm.memory import GPU_SHARE_MAX, Load, memory_need
from winnow.api.vllm.model import PUBLISHED, Role, Served, served_by_name, served_from_folder
from winnow.rerank.server_check import RERANKER_HEAD
from winnow.retrieval.errors import SettingInvalid

GB = 1_000_000_000
HOPPER = Gpu(memory_bytes=80 * GB, capability=(9, 0), name="H100")
CPU = Machine()
RERANKER = served_by_name("rerank", "Qwen/Qwen3-Reranker-4B")
EMBEDDER = served_by_name("embed", "Qwen/Qwen3-Embedding-0.6B")


def gpus(count: int, gigabytes: float, capability: tuple[int, int] = (9, 0)) -> Machine:
    each = replace(HOPPER, memory_bytes=int(gigabytes * GB), capability=capability)
    return Machine(gpus=tuple(replace(each, id=str(place)) for place in range(count)))


def commands(machine: Machine, *served: Served, wanted: Wanted | None = None) -> tuple[VllmCommand, ...]:
    return plan_commands(served, machine, wanted or Wanted(), ports=range(8_000, 8_000 + len(served)))


def value_of(command: VllmCommand, flag: str) -> str:
    """What `--flag=` says; there must be exactly one."""
    (found,) = [text.partition("=")[2] for text in command.arguments if text.partition("=")[0] == flag]
    return found


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("Qwen/Qwen3-Embedding-0.6B", 595_776_512),
        ("Qwen/Qwen3-Embedding-4B", 4_021_774_336),
        ("Qwen/Qwen3-Embedding-8B", 7_567_295_488),
        ("Qwen/Qwen3-Reranker-0.6B", 595_776_512),
        ("Qwen/Qwen3-Reranker-4B", 4_021_784_576),
        ("Qwen/Qwen3-Reranker-8B", 8_188_548_096),
    ],
)
def test_the_size_of_a_published_model_follows_from_its_shape(name: str, parameters: int) -> None:
    """To the last number, as published; its weights are planned at two bytes each."""
    role: Role = "rerank" if "Reranker" in name else "embed"
    served = served_by_name(role, name)
    assert served.parameters == parameters
    assert memory_need(load_of(served)).weights == 2 * parameters


def load_of(served: Served, quantization: Quantization = "none") -> Load:
    return Load(served=served, dtype="bfloat16", quantization=quantization, batched_tokens=16_384, window=served.window)


@pytest.mark.parametrize("name", PUBLISHED)
def test_fp8_halves_what_the_layers_weigh(name: str) -> None:
    """The table of words keeps its format, so a small model saves less than half."""
    served = served_by_name("rerank" if "Reranker" in name else "embed", name)
    saved = memory_need(load_of(served)).weights - memory_need(load_of(served, "fp8")).weights
    assert saved == served.quantizable
    assert 0.35 < saved / (2 * served.parameters) < 0.5


def test_the_cache_of_a_token_is_as_published() -> None:
    """112 KiB for 0.6B, 144 KiB for 4B and 8B, in two bytes a number."""
    for name, kib in (("0.6B", 112), ("4B", 144), ("8B", 144)):
        load = load_of(served_by_name("rerank", f"Qwen/Qwen3-Reranker-{name}"))
        assert memory_need(load).cache == (16_384 + 8_192) * kib * 1024


def test_the_reranker_gets_its_head_and_the_embedder_none() -> None:
    """The one thing that makes a language model judge; without it vLLM serves noise."""
    reranker, embedder = commands(gpus(1, 80), RERANKER, EMBEDDER)
    assert json.loads(value_of(reranker, "--hf-overrides")) == json.loads(RERANKER_HEAD)
    assert not any("--hf-overrides" in text for text in embedder.arguments)
    for command in (reranker, embedder):
        assert value_of(command, "--runner") == "pooling"
        assert value_of(command, "--max-model-len") == "8192"
        assert value_of(command, "--dtype") == "bfloat16"
        assert value_of(command, "--max-num-batched-tokens") == "16384"
        assert value_of(command, "--tensor-parallel-size") == "1"
        assert not any("chunked" in text for text in command.arguments)
        assert not any("prefix-caching" in text for text in command.arguments)
        assert dict(command.environment) == {"VLLM_NO_USAGE_STATS": "1"}
        assert all(flag.reason for flag in command.flags)
    assert reranker.argv[:3] == ("-m", "vllm.entrypoints.openai.api_server", "--model=Qwen/Qwen3-Reranker-4B")


def test_two_servers_on_one_gpu_share_it() -> None:
    """Their shares add up to what may be taken, and each gets what it needs."""
    for gigabytes in (24, 48, 80, 141):
        shares = [
            float(value_of(each, "--gpu-memory-utilization"))
            for each in commands(gpus(1, gigabytes), RERANKER, EMBEDDER)
        ]
        assert GPU_SHARE_MAX - 0.02 <= sum(shares) <= GPU_SHARE_MAX
        for served, share in zip((RERANKER, EMBEDDER), shares, strict=True):
            assert share * gigabytes * GB >= memory_need(load_of(served)).total * 0.98


def test_a_plan_for_a_small_gpu_holds_on_a_large_one() -> None:
    """What compose prints without knowing the machine is right on every larger one."""
    for served, command in zip((RERANKER, EMBEDDER), commands(gpus(1, 24), RERANKER, EMBEDDER), strict=True):
        assert float(value_of(command, "--gpu-memory-utilization")) * 80 * GB > memory_need(load_of(served)).total


def test_a_model_that_does_not_fit_is_refused_with_figures() -> None:
    """The operator learns what is needed, what is there, and what could be done."""
    large = served_by_name("rerank", "Qwen/Qwen3-Reranker-8B")
    with pytest.raises(SettingInvalid) as refused:
        commands(gpus(1, 16), large, EMBEDDER)
    assert "Qwen/Qwen3-Reranker-8B (rerank) needs 21.3 GB (weights 16.4" in refused.value.detail
    assert "has 14.4 GB available" in refused.value.detail


def test_servers_get_gpus_of_their_own_where_there_are_enough() -> None:
    """Each takes all that may be taken, and sees only its own GPU, by the name that CUDA gives it."""
    machine = Machine(gpus=(replace(HOPPER, id="2"), replace(HOPPER, id="GPU-5f")))
    reranker, embedder = commands(machine, RERANKER, EMBEDDER)
    assert [value_of(each, "--gpu-memory-utilization") for each in (reranker, embedder)] == ["0.90", "0.90"]
    assert dict(reranker.environment)["CUDA_VISIBLE_DEVICES"] == "2"
    assert dict(embedder.environment)["CUDA_VISIBLE_DEVICES"] == "GPU-5f"


def test_a_model_too_large_for_one_gpu_is_spread_over_as_few_as_it_takes() -> None:
    """Two of 16 GB for an 8B, a third for the embedder; and a smaller step before a wider spread."""
    large = served_by_name("rerank", "Qwen/Qwen3-Reranker-8B")
    reranker, embedder = commands(gpus(4, 16), large, EMBEDDER)
    assert value_of(reranker, "--tensor-parallel-size") == "2"
    assert dict(reranker.environment)["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert dict(embedder.environment)["CUDA_VISIBLE_DEVICES"] == "2"
    both = commands(gpus(2, 24), large, large)
    assert [value_of(each, "--tensor-parallel-size") for each in both] == ["1", "1"]
    assert [value_of(each, "--max-num-batched-tokens") for each in both] == ["8192", "8192"], "or they would not fit"
    with pytest.raises(SettingInvalid, match="cannot be split over 4 GPUs; this machine has 2"):
        commands(gpus(2, 80), large, wanted=Wanted(tensor_parallel=4))


def test_memory_that_others_hold_is_not_planned_with() -> None:
    """A GPU that is half full is a smaller GPU."""
    busy = Machine(gpus=(replace(HOPPER, free_bytes=40 * GB),))
    (command,) = commands(busy, RERANKER)
    assert float(value_of(command, "--gpu-memory-utilization")) == 0.49
    with pytest.raises(SettingInvalid, match=r"has 3\.5 GB available"):
        commands(Machine(gpus=(replace(HOPPER, free_bytes=4 * GB),)), RERANKER)


@pytest.mark.parametrize(
    ("quantization", "flag"),
    [
        ("fp8", "fp8_per_channel"),
        ("fp8-per-tensor", "fp8"),
        ("fp8-per-channel", "fp8_per_channel"),
        ("fp8-per-block", "fp8_per_block"),
    ],
)
def test_fp8_is_refused_where_it_would_not_be_fast(quantization: Quantization, flag: str) -> None:
    """Ada and Hopper multiply in it; before them, and on a CPU, the operator is told."""
    wanted = Wanted(quantization=quantization)
    (command,) = commands(gpus(1, 80, (8, 9)), RERANKER, wanted=wanted)
    (plain,) = commands(gpus(1, 80, (8, 9)), RERANKER)
    assert value_of(command, "--quantization") == flag
    assert command.place.share_least < plain.place.share_least, "its weights take half the memory"
    with pytest.raises(SettingInvalid, match=rf": {quantization} needs .*8\.9 or newer .*GPU 0 \(H100\) has 8\.0"):
        commands(gpus(1, 80, (8, 0)), RERANKER, wanted=wanted)
    with pytest.raises(SettingInvalid, match=f": {quantization} needs a GPU"):
        commands(CPU, RERANKER, wanted=wanted)
    with pytest.raises(SettingInvalid, match="do not set --dtype float32"):
        commands(gpus(1, 80), RERANKER, wanted=replace(wanted, dtype="float32"))
    with pytest.raises(SettingInvalid, match="already quantised"):
        commands(gpus(1, 80), replace(RERANKER, stored_bytes=5 * GB), wanted=wanted)


def test_a_gpu_without_bfloat16_gets_float16() -> None:
    """And a format that the operator sets is used as it is."""
    (old,) = commands(gpus(1, 16, (7, 5)), EMBEDDER)
    (chosen,) = commands(gpus(1, 16), EMBEDDER, wanted=Wanted(dtype="float32"))
    assert (value_of(old, "--dtype"), value_of(chosen, "--dtype")) == ("float16", "float32")
    with pytest.raises(SettingInvalid, match="bf16-mixed is for models in this process; vLLM needs one of float32"):
        commands(gpus(1, 16), EMBEDDER, wanted=Wanted(dtype="bf16-mixed"))


def test_a_cpu_computes_exactly_and_uncompiled() -> None:
    """With room for the keys and values of two longest inputs, and no word about GPUs."""
    (command,) = commands(CPU, EMBEDDER)
    assert value_of(command, "--dtype") == "float32"
    assert "--enforce-eager" in command.arguments
    assert not any("gpu" in text or "tensor" in text for text in command.arguments)
    assert dict(command.environment)["VLLM_CPU_KVCACHE_SPACE"] == "4"  # GiB: 2 x 8192 tokens of 224 KiB


@pytest.mark.parametrize("shortage", Shortage)
def test_the_smaller_server_has_half_the_step(shortage: Shortage) -> None:
    """Uncompiled as well; its share shrinks only where the GPU had less to give, not where the share was too small.

    It takes all that winnow sends, as before: a server with a shorter context would be refused by its proof.
    """
    (command,) = commands(gpus(1, 80), RERANKER)
    small = shrink(command, shortage)
    assert value_of(small, "--max-model-len") == "8192"
    assert value_of(small, "--max-num-batched-tokens") == "8192"
    assert small.arguments.count("--enforce-eager") == 1
    share = value_of(small, "--gpu-memory-utilization")
    assert share == ("0.90" if shortage is Shortage.CACHE else f"{command.place.share_least:.2f}")
    again = shrink(shrink(small, shortage), shortage)
    assert again.arguments.count("--enforce-eager") == 1
    assert value_of(again, "--max-num-batched-tokens") == "8192", "no input may take two steps before vLLM 0.26"


def test_models_of_ones_own_are_found_as_everywhere(tmp_path: Path) -> None:
    """A folder: vLLM is told where it lies, and no more tokens than it was made for."""
    reranker = served_from_folder("rerank", str(write_reranker(tmp_path / "r")))
    embedder = served_by_name("embed", str(write_embedder(tmp_path / "e")))
    assert (reranker.model, reranker.window) == (str(tmp_path / "r"), 5_000)
    assert (embedder.model, embedder.window) == (str(tmp_path / "e"), 512)
    with pytest.raises(SettingInvalid, match="not a model of kind embedder"):
        served_by_name("embed", "Qwen/Qwen3-Reranker-4B")


def test_a_folder_that_is_quantised_weighs_what_its_files_weigh(tmp_path: Path) -> None:
    """Whatever the format is called; vLLM runs it as it is."""
    folder = write_reranker(tmp_path / "r")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    quantized = config | {"quantization_config": {"quant_method": "compressed-tensors"}}
    (folder / "config.json").write_text(json.dumps(quantized), encoding="utf-8")
    served = served_from_folder("rerank", str(folder))
    assert served.stored_bytes == (folder / "model.safetensors").stat().st_size
    assert memory_need(load_of(served)).weights == served.stored_bytes


def test_our_own_front_takes_the_same_flags() -> None:
    """Only the program differs, and the step where memory allows a larger one."""
    (theirs,) = commands(gpus(1, 80), RERANKER)
    (ours,) = commands(gpus(1, 80), RERANKER, wanted=Wanted(front="winnow"))
    assert ours.argv[:2] == (str(FRONT), "--model=Qwen/Qwen3-Reranker-4B")
    assert FRONT.is_file()
    assert value_of(ours, "--max-num-batched-tokens") == "32768"
    steps = "--max-num-batched-tokens"
    assert [text for text in ours.arguments if not text.startswith(steps)] == [
        text for text in theirs.arguments if not text.startswith(steps)
    ]


@pytest.mark.parametrize("gigabytes", [16, 24, 40])
def test_a_larger_step_costs_no_model_another_gpu(gigabytes: float) -> None:
    """Speed of a few per cent is not worth a card: the step stays as it is behind vLLM's own server."""
    theirs = commands(gpus(2, gigabytes), RERANKER)
    ours = commands(gpus(2, gigabytes), RERANKER, wanted=Wanted(front="winnow"))
    assert [len(each.place.gpus) for each in ours] == [len(each.place.gpus) for each in theirs]


def test_on_a_cpu_the_front_changes_nothing_but_the_program() -> None:
    """A step of a CPU stays short."""
    (theirs,), (ours,) = commands(CPU, RERANKER), commands(CPU, RERANKER, wanted=Wanted(front="winnow"))
    assert ours.arguments == theirs.arguments
