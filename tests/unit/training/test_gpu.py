"""Training on GPUs, tried without one: rows of lists, instructions, fields, the clock."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402 (torch may be missing)

from training.gpu import network, pieces, processes, wordings  # noqa: E402
from training.gpu.mean import mean  # noqa: E402
from training.gpu.preferences import alternating  # noqa: E402
from training.gpu.processes import Clock, Ending, Processes  # noqa: E402
from training.gpu.reranker import hold_loss, preference_loss  # noqa: E402
from training.gpu.store import Span  # noqa: E402
from training.gpu.train import part  # noqa: E402

PROJECT = Path(__file__).resolve().parents[3]
SHAPE = {"hidden": 128, "inner": 64, "heads": 2, "kv": 1, "layers": 2}


def row_of(head: torch.Tensor, documents: list[torch.Tensor], length: int) -> tuple[torch.Tensor, ...]:
    """Ids, documents, positions and last places of one row."""
    sizes = [len(one) for one in documents]
    ids, document, position = [head], [torch.zeros(len(head))], [torch.arange(len(head))]
    for number, one in enumerate(documents):
        ids.append(one)
        document.append(torch.full((len(one),), number + 1.0))
        position.append(torch.arange(len(head), len(head) + len(one)))
    rest = length - len(head) - sum(sizes)
    ids.append(torch.zeros(rest))
    document.append(torch.full((rest,), -1.0))
    position.append(torch.arange(rest))
    last = len(head) + torch.tensor(sizes).cumsum(0) - 1
    return (*(torch.cat(part)[None].long() for part in (ids, document, position)), last[None])


@pytest.mark.parametrize("flexible", [False, True])
@pytest.mark.filterwarnings("ignore:flex_attention called without")
def test_a_document_scores_in_a_list_as_it_does_alone(*, flexible: bool) -> None:
    torch.manual_seed(3)
    model = network.Network(SHAPE, compiled=False, flexible=flexible)
    head = torch.randint(0, 20_000, (60,))
    documents = [torch.randint(0, 20_000, (size,)) for size in (40, 7, 130)]
    ids, document, position, last = row_of(head, documents, 384)
    with torch.no_grad():
        mask = network.list_mask(document, flexible=flexible)
        together = model.logits(model.states(ids, position, mask, fast=False), last, 5, 6)[0]
        for number, one in enumerate(documents):
            alone = torch.cat([head, one])[None]
            end = torch.tensor([[alone.shape[1] - 1]])
            single = model.logits(model.states(alone, None, None, fast=False), end, 5, 6)[0, 0]
            assert together[number] == pytest.approx(float(single), abs=1e-5)


def test_names_survive_the_way_to_a_checkpoint_and_back() -> None:
    weights = network.Network(SHAPE, compiled=False, flexible=False).state_dict()
    named = network.as_qwen(weights)
    assert "layers.0.self_attn.q_proj.weight" in named
    assert "layers.1.mlp.down_proj.weight" in named
    assert set(network.from_qwen({f"model.{name}": value for name, value in named.items()})) == set(weights)


def test_a_mean_is_of_checkpoints_and_of_exported_folders(tmp_path: Path) -> None:
    exported = PROJECT / "data" / "models" / "winnow-rerank"
    shape, weights = network.read_weights(exported)
    doubled = {name: value.float() * 3 for name, value in weights.items()}
    torch.save(
        {"shape": {name: shape[name] for name in shape if name != "theta"}, "weights": doubled}, tmp_path / "a.pt"
    )
    found, mixed = mean([exported, tmp_path / "a.pt"]), mean([exported, tmp_path / "a.pt"], [0.75, 0.25])
    assert found["shape"] == shape
    told, told_mixed = network.as_qwen(found["weights"]), network.as_qwen(mixed["weights"])
    for name, value in load_file(exported / "model.safetensors").items():
        own = name.removeprefix("model.")
        assert torch.allclose(told[own].float(), value.float() * 2, atol=1e-6), name
        assert torch.allclose(told_mixed[own].float(), value.float() * 1.5, rtol=2**-8, atol=1e-6), name
    for wrong in ([1.0], [0.5, 0.6]):
        with pytest.raises(ValueError, match="needs a share"):
            mean([exported, tmp_path / "a.pt"], wrong)


def test_parts_are_counted_from_one() -> None:
    assert [part("1/2"), part("2/2"), part("1/1")] == [(0, 2), (1, 2), (0, 1)]
    for wrong in ("0/2", "3/2"):
        with pytest.raises(ValueError, match=wrong):
            part(wrong)


@pytest.mark.parametrize("kind", ["zh", "en", "code", "prose", "new", "old"])
def test_no_held_out_wording_is_trained_on(kind: str) -> None:
    trained = wordings.preferring(kind)
    assert len(set(trained)) > 500
    assert not set(trained) & set(wordings.HELD_OUT[kind])


def test_opposite_wishes_share_no_wording() -> None:
    for one, other in (("zh", "en"), ("code", "prose"), ("new", "old")):
        assert not set(wordings.preferring(one)) & set(wordings.preferring(other))


def test_field_lines_are_as_documents_carry_them() -> None:
    table = pieces.table(random.Random(1))
    first, stop = table.places["date:date:0"]
    assert table.texts[first].startswith(" date: ")
    assert len(table.texts[first]) == len(" date: 2024-05-01")
    values = table.places["values"][: stop - first]
    years = [int(text.split(": ")[1][:4]) for text in table.texts[first:stop]]
    assert all(int(value) in (year, year + 1) for value, year in zip(values, years, strict=True))


def test_rows_of_two_instructions_alternate() -> None:
    one, other = (Span(torch.tensor([a, a + 1]), torch.tensor([1, 2])) for a in (10, 20))
    assert alternating(one, other).start.tolist() == [10, 20, 11, 21]


def test_the_preference_loss_falls_where_the_wish_is_met() -> None:
    from training.gpu.preferences import Preferred

    level = torch.tensor([[2.0, 1, 0, 0], [1, 2, 0, -1]])
    lists = Preferred(kind="language", head=[], documents=[], level=level, neutral=torch.tensor([False, False]))
    met, both = preference_loss(torch.tensor([[10.0, 2, -3, -3], [2, 10.0, -3, 50]]), lists)
    missed, neither = preference_loss(torch.tensor([[2.0, 10, -3, -3], [10, 2.0, -3, 50]]), lists)
    assert met < 0.6 < missed
    assert float(both) == 1
    assert float(neither) == 0


def test_a_phase_ends_by_the_clock_and_counts_what_was_used_before() -> None:
    clock = Clock(Processes(), 0.2, used=0.15, every=1)
    assert 0.7 < clock.read() < 1
    began = time.monotonic()
    while clock.read() < 1:
        assert time.monotonic() - began < 5
    assert time.monotonic() - began < 1


def test_the_share_reaches_one_at_an_end_that_moved_and_stands_still_while_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, end = [1_000.0], tmp_path / "end"
    monkeypatch.setattr(processes.time, "time", lambda: now[0])
    end.write_text("1100", encoding="utf-8")
    clock = Ending(Processes(), end, every=1)

    def worked(seconds: int) -> float:
        for _ in range(seconds):
            now[0] += 1
            clock.read()
        return clock.share

    assert worked(40) == pytest.approx(0.4)
    now[0] += 30  # stopped
    assert clock.read() == pytest.approx(0.4 + 0.6 * 5 / 35)
    end.write_text("1170", encoding="utf-8")
    before = clock.share
    assert worked(50) == pytest.approx(before + (1 - before) / 2)
    assert worked(49) < 1
    assert worked(1) == 1


def test_scores_are_held_where_nothing_is_preferred() -> None:
    before = torch.tensor([[3.0, 0.0, -2.0], [1.0, 2.0, 3.0]])
    held = torch.tensor([[True, True, False], [False, False, False]])
    free = torch.tensor([[0.0, 0.0, 50.0], [-9.0, 9.0, 50.0]])  # what is not held may be anything
    level = float(hold_loss(torch.where(held, before, free), before, held))
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(before[0, :2], before[0, :2].sigmoid())
    assert level == pytest.approx(0.1 * float(entropy), abs=1e-6)
    turned = before.clone()
    turned[0, :2] = torch.tensor([0.0, 3.0])
    lifted = before + 4
    kept = float(hold_loss(before, before, held))
    # Both rows' divergence over one held row: p log(p / q) of scores 3 apart, exchanged.
    p = torch.tensor([3.0, 0.0]).softmax(0)
    divergence = float((p * (p / p.flip(0)).log()).sum())
    assert float(hold_loss(turned, before, held)) > divergence
    assert kept < float(hold_loss(lifted, before, held)) < divergence
