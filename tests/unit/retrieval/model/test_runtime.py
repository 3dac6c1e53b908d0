"""Our forward pass gives the states of transformers' Qwen3, by value, however the work is cut."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Qwen3ForCausalLM

from tests.tiny_models import TinyShape, write_embedder, write_reranker
from winnow.retrieval.errors import ModelUnusable, SettingInvalid
from winnow.retrieval.model import attention, decoder
from winnow.retrieval.model.checkpoint import Checkpoint
from winnow.retrieval.model.config import QwenConfig
from winnow.retrieval.model.folder import find_model
from winnow.retrieval.model.linear import WINDOW_ROWS_MAX, OneDnnLinear, TorchLinear, in_windows, row_windows
from winnow.retrieval.model.number_type import FLOAT32
from winnow.retrieval.model.runtime import QwenRuntime
from winnow.retrieval.records import Vectors

SHAPES = {
    "tied, grouped heads": TinyShape(),
    "untied, as many key heads as query heads": TinyShape(tied=False, kv_heads=4, head_dim=32),
    "one key head, one layer": TinyShape(kv_heads=1, layers=1, head_dim=8),
}
LENGTHS = (1, 1, 2, 7, 7, 7, 8, 33, 300, 700)  # equal, nearly equal, and longer than a block of attention


@pytest.fixture(scope="module", params=SHAPES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reranker(tmp_path_factory.mktemp("models") / "model", SHAPES[request.param])


@pytest.fixture(scope="module")
def reference(folder: Path) -> Qwen3ForCausalLM:
    model: Qwen3ForCausalLM = Qwen3ForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model


def runtime_of(folder: Path, *, pack_tokens: int | None = None, stretch_max: float | None = None) -> QwenRuntime:
    return QwenRuntime(
        QwenConfig.read(folder),
        Checkpoint.open(folder),
        device=torch.device("cpu"),
        number_type=FLOAT32,
        pack_tokens=pack_tokens,
        stretch_max=stretch_max,
    )


def sequences_of(lengths: Sequence[int], *, seed: int = 1) -> list[list[int]]:
    generator = np.random.default_rng(seed)
    return [generator.integers(0, 500, length).tolist() for length in lengths]


def reference_states(model: Qwen3ForCausalLM, sequences: Sequence[Sequence[int]], prefix: Sequence[int]) -> Vectors:
    """The whole prompt, no cache, no batch: nothing that could be wrong in the same way as ours."""
    with torch.inference_mode():
        return np.stack(
            [model.model(torch.tensor([[*prefix, *each]])).last_hidden_state[0, -1].numpy() for each in sequences]
        )


@pytest.mark.parametrize("before", [0, 1, 37, 300])
@pytest.mark.parametrize(("pack_tokens", "stretch_max"), [(10_000, 1.0), (40, 1.0), (10_000, 1.25), (10_000, 50.0)])
def test_states_agree_with_transformers(
    folder: Path, reference: Qwen3ForCausalLM, before: int, pack_tokens: int, stretch_max: float
) -> None:
    """With and without a shared prefix, in one pack or many, as views or padded inside attention."""
    prefix = sequences_of([before], seed=2)[0]
    sequences = sequences_of(LENGTHS)
    runtime = runtime_of(folder, pack_tokens=pack_tokens, stretch_max=stretch_max)
    found = asyncio.run(runtime.last_states(sequences, prefix=prefix))
    np.testing.assert_allclose(found, reference_states(reference, sequences, prefix), atol=5e-5)


def test_the_head_difference_gives_yes_minus_no(folder: Path, reference: Qwen3ForCausalLM) -> None:
    """Two rows of the head, tied or not, give the difference of the full vocabulary's logits."""
    sequences = sequences_of([5, 9])
    runtime = runtime_of(folder)
    logits = asyncio.run(runtime.last_states(sequences)) @ runtime.head_difference(301, 302)
    with torch.inference_mode():
        full = [reference(torch.tensor([each])).logits[0, -1].numpy() for each in sequences]
    np.testing.assert_allclose(logits, [row[301] - row[302] for row in full], atol=5e-5)


def test_neighbours_do_not_change_a_state(folder: Path) -> None:
    """A sequence alone and among others is the same sequence, up to the rounding of another product's shape."""
    runtime = runtime_of(folder)
    sequences = sequences_of(LENGTHS)
    together = asyncio.run(runtime.last_states(sequences))
    for place, sequence in enumerate(sequences):
        np.testing.assert_allclose(asyncio.run(runtime.last_states([sequence]))[0], together[place], atol=2e-5)


def test_the_same_call_gives_the_same_bits(folder: Path) -> None:
    """An interrupted index run that is resumed must end in the same vectors."""
    runtime = runtime_of(folder, pack_tokens=100)
    sequences = sequences_of(LENGTHS)
    one, other = asyncio.run(runtime.last_states(sequences)), asyncio.run(runtime.last_states(sequences))
    assert one.tobytes() == other.tobytes()


def test_a_table_of_tokens_changes_no_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it holds already: nothing, some of the tokens, or all. Other models have none."""
    one_layer = write_embedder(tmp_path / "one", TinyShape(layers=1))
    sequences = sequences_of(LENGTHS)
    with_table = runtime_of(one_layer)
    assert with_table._decoder._table is not None
    asyncio.run(with_table.last_states(sequences[:5]))
    first, second = (asyncio.run(with_table.last_states(sequences, [3, 4])) for _ in range(2))
    monkeypatch.setattr(decoder, "TABLE_BYTES_MAX", 0)
    without = runtime_of(one_layer)
    assert without._decoder._table is None
    np.testing.assert_allclose(first, asyncio.run(without.last_states(sequences, [3, 4])), atol=1e-6)
    np.testing.assert_array_equal(first, second)
    monkeypatch.undo()
    assert runtime_of(write_embedder(tmp_path / "two", TinyShape(layers=2)))._decoder._table is None


def test_the_memory_of_a_model_is_known_to_the_byte(tmp_path: Path) -> None:
    """The vocabulary as it is stored, the rest in float32; of the table, the rows of tokens that occurred."""
    folder = write_embedder(tmp_path / "one", TinyShape(layers=1))
    runtime = runtime_of(folder)
    stored = load_file(folder / "model.safetensors")
    vocabulary = next(each for name, each in stored.items() if name.endswith("embed_tokens.weight"))
    rest = sum(each.numel() for each in stored.values()) - vocabulary.numel()
    assert (runtime.memory.weights, runtime.memory.table) == (vocabulary.nbytes + 4 * rest, 0)
    asyncio.run(runtime.last_states([[1, 2, 3], [3, 4]]))
    row = 4 * runtime.config.kv_heads * runtime.config.head_dim
    assert runtime.memory.table == 4 * 2 * row
    assert runtime_of(write_embedder(tmp_path / "two", TinyShape(layers=2))).memory.table == 0


def test_a_pack_gathers_into_the_memory_of_the_one_before(tmp_path: Path) -> None:
    """New pages for each pack cost the bundled embedder two fifths of its time."""
    runtime = runtime_of(write_embedder(tmp_path / "one", TinyShape(layers=1)))
    table = runtime._decoder._table
    assert table is not None
    asyncio.run(runtime.last_states([[1, 2, 3]]))
    before = [each.data_ptr() for each in table._gathered]
    asyncio.run(runtime.last_states([[4, 5], [6]]))
    assert [each.data_ptr() for each in table._gathered] == before


def test_products_have_few_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is asked: oneDNN keeps code for each size. The states are those of whole products."""
    sizes = set()
    gated = TorchLinear.gated

    def watched(self: TorchLinear, x: torch.Tensor, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        sizes.add(len(x))
        return gated(self, x, gate, up)

    monkeypatch.setattr(decoder, "linear_for", lambda *_: TorchLinear())
    monkeypatch.setattr(TorchLinear, "gated", watched)
    runtime = runtime_of(write_reranker(tmp_path / "model", TinyShape()))
    asked = [
        (sequences_of([5] * (count % 40 + 1) + [count]), sequences_of([count])[0]) for count in range(1, 1_200, 37)
    ]
    found = [asyncio.run(runtime.last_states(*each)) for each in asked]
    assert sizes <= {1 << bits for bits in range(9)} | set(range(256, WINDOW_ROWS_MAX + 1, 64))
    monkeypatch.setattr(decoder, "in_windows", lambda compute, *operands: compute(*operands))
    whole = [asyncio.run(runtime.last_states(*each)) for each in asked]
    assert len(sizes) > 50
    for one, other in zip(found, whole, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_windows_cover_every_row_once() -> None:
    """What a window computes again, it has of a window before, and it is less than half."""
    for rows in (*range(1, 600), 1_023, 1_024, 1_025, 1_300, 2_048, 5_000):
        windows = list(row_windows(rows))
        assert [new for _, new, _ in windows] == [0, *(stop for _, _, stop in windows[:-1])]
        assert windows[-1][2] == rows
        assert all(0 <= start <= new < stop <= start + WINDOW_ROWS_MAX for start, new, stop in windows)
        assert all(new - start < stop - new for start, new, stop in windows)
        assert len(windows) <= -(-rows // WINDOW_ROWS_MAX) + 1


def test_windows_change_no_bit() -> None:
    """A row of a product does not depend on the others."""
    generator = torch.Generator().manual_seed(1)
    linear = OneDnnLinear()
    weight = linear.prepare(torch.randn(576, 384, generator=generator))
    states = torch.randn(1_500, 384, generator=generator)
    with torch.inference_mode():
        for rows in (1, 13, 300, 1_500):
            whole = linear.product(states[:rows], weight)
            assert torch.equal(in_windows(lambda x: linear.product(x, weight), states[:rows]), whole)


@pytest.mark.parametrize("shape", [(7, 48), (300, 512), (5, 6, 64), (1, 384)])
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e4])
def test_the_norm_is_that_of_torch_to_the_bit(folder: Path, shape: tuple[int, ...], size: float) -> None:
    """It saves memory, not digits."""
    config = QwenConfig.read(folder)
    generator = torch.Generator().manual_seed(1)
    states, weight = torch.randn(shape, generator=generator) * size, torch.randn(shape[-1], generator=generator)
    given = states.clone()
    expected = torch.nn.functional.rms_norm(states, weight.shape, weight, config.norm_epsilon)
    assert torch.equal(decoder._norm(states, weight, config), expected)
    assert torch.equal(states, given)


def test_a_prefix_is_not_copied_for_each_sequence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU; the states are those of the joined keys up to rounding."""
    runtime = runtime_of(folder, stretch_max=1.25)
    sequences, prefix = sequences_of(LENGTHS), sequences_of([37], seed=2)[0]
    monkeypatch.setattr(attention, "_merges", lambda _: False)
    joined = asyncio.run(runtime.last_states(sequences, prefix))
    monkeypatch.undo()
    after = attention._after

    def refuse(past: attention.Past, keys: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        assert past is None, "the prefix would be copied"
        return after(past, keys, values)

    monkeypatch.setattr(attention, "_after", refuse)
    np.testing.assert_allclose(asyncio.run(runtime.last_states(sequences, prefix)), joined, atol=2e-5)


async def test_many_callers_take_turns(folder: Path) -> None:
    """Ten calls at once give what they give alone; a short one does not wait for all of a long one."""
    runtime = runtime_of(folder, pack_tokens=20)
    sequences = sequences_of([20] * 40)
    alone = await runtime.last_states(sequences)
    finished: list[str] = []

    async def call(name: str, chosen: slice) -> Vectors:
        states = await runtime.last_states(sequences[chosen])
        finished.append(name)
        return states

    long, *short = await asyncio.gather(call("long", slice(0, 40)), *(call("short", slice(3, 4)) for _ in range(9)))
    assert long.tobytes() == alone.tobytes()
    assert {states.tobytes() for states in short} == {alone[3:4].tobytes()}
    assert finished[-1] == "long"


async def test_a_cancelled_call_stops_at_its_next_pack(folder: Path) -> None:
    """The thread is free for the next caller at once, not after everything that nobody waits for."""
    runtime = runtime_of(folder, pack_tokens=400)
    sequences = sequences_of([400] * 2_000)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await runtime.last_states(sequences)
    async with asyncio.timeout(20):  # two thousand packs would take longer
        assert (await runtime.last_states(sequences[:1])).shape == (1, runtime.config.hidden)


def test_no_sequences_are_no_states(folder: Path) -> None:
    """And cost nothing: the prefix is not computed either."""
    runtime = runtime_of(folder)
    assert asyncio.run(runtime.last_states([], prefix=[1, 2])).shape == (0, runtime.config.hidden)


def test_a_checkpoint_in_many_files_is_the_same_model(tmp_path: Path) -> None:
    """As the 4B and 8B are published: shards and an index, names with or without `model.`."""
    whole = write_embedder(tmp_path / "whole")
    sharded = write_embedder(tmp_path / "sharded")
    weights = load_file(sharded / "model.safetensors")
    (sharded / "model.safetensors").unlink()
    files = {}
    for place, name in enumerate(sorted(weights)):
        file = f"model-{place % 2 + 1:05}-of-00002.safetensors"
        files.setdefault(file, {})[f"model.{name}"] = weights[name]
    for file, tensors in files.items():
        save_file(tensors, sharded / file)
    index = {name: file for file, tensors in files.items() for name in tensors}
    (sharded / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}), "utf-8")
    sequences = sequences_of([3, 9])
    one, other = (asyncio.run(runtime_of(each).last_states(sequences)) for each in (whole, sharded))
    assert one.tobytes() == other.tobytes()


def test_bfloat16_is_near_float32(folder: Path) -> None:
    """The path of a GPU, on the CPU: same states up to the precision of the type."""
    name = str(folder)
    sequences, prefix = sequences_of([5, 40, 300]), sequences_of([30], seed=2)[0]
    exact, rounded = (
        asyncio.run(
            QwenRuntime.load(find_model(name, kind="reranker"), device="cpu", dtype=dtype).last_states(
                sequences, prefix=prefix
            )
        )
        for dtype in ("float32", "bfloat16")
    )
    cosines = (exact * rounded).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(rounded, axis=1)
    assert cosines.min() > 0.999


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model_type", "llama"),
        ("attention_bias", True),
        ("hidden_size", 64),
        ("num_hidden_layers", 4),
        ("rope_scaling", {"rope_type": "yarn", "factor": 4.0}),
        ("hidden_size", None),
        ("vocab_size", 9),
    ],
)
def test_a_model_that_is_not_what_it_says_is_refused(tmp_path: Path, name: str, value: object) -> None:
    """Better no model than one whose vectors are quietly wrong."""
    folder = write_reranker(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {name: value}), "utf-8")
    with pytest.raises(ModelUnusable):
        runtime_of(folder)


def test_both_spellings_of_the_rotation_are_read(tmp_path: Path) -> None:
    """transformers 5 writes rope_parameters, Qwen's own files have rope_theta at the top."""
    folder = write_reranker(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    assert QwenConfig.read(folder).rope_theta == 1_000_000
    del config["rope_theta"]
    config["rope_parameters"] = {"rope_type": "default", "rope_theta": 10_000}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    assert QwenConfig.read(folder).rope_theta == 10_000


def test_damaged_weights_are_named(tmp_path: Path) -> None:
    """A file that was cut off is the model's fault, with its path."""
    folder = write_reranker(tmp_path / "model")
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelUnusable, match=str(folder)):
        Checkpoint.open(folder)


@pytest.mark.parametrize(("device", "dtype"), [("quantum", None), ("cpu", "int4")])
def test_an_impossible_setting_is_named(folder: Path, device: str, dtype: str | None) -> None:
    """What the operator wrote is in the message."""
    with pytest.raises(SettingInvalid, match=dtype or device):
        QwenRuntime.load(find_model(str(folder), kind="reranker"), device=device, dtype=dtype)
