"""What is printed is, read back by whom it is printed for, the command to the letter."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from winnow.api.cli.main import app
from winnow.api.vllm.command import VllmCommand, Wanted, plan_commands
from winnow.api.vllm.formats import format_commands
from winnow.api.vllm.machine import Gpu, Machine
from winnow.api.vllm.model import Served, served_by_name
from winnow.rerank.server_check import RERANKER_HEAD
from winnow.retrieval.errors import SettingInvalid

PROJECT = Path(__file__).resolve().parents[4]
ONE = Machine(gpus=(Gpu(memory_bytes=80_000_000_000, capability=(9, 0)),))
TWO = Machine(gpus=tuple(Gpu(id=str(place), memory_bytes=80_000_000_000, capability=(9, 0)) for place in range(2)))
PYTHON = "/opt/a place/python"


def commands(machine: Machine = ONE, *, model: str | None = None) -> tuple[VllmCommand, ...]:
    reranker = served_by_name("rerank", "Qwen/Qwen3-Reranker-4B")
    embedder = served_by_name("embed", "Qwen/Qwen3-Embedding-0.6B")
    if model:
        reranker = Served(role="rerank", model=model, shape=reranker.shape, window=8_192)
    return plan_commands([reranker, embedder], machine, Wanted(), ports=[1, 2])


def invoked(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["vllm-command", *arguments], catch_exceptions=False)


def test_a_shell_reads_the_command() -> None:
    """Variables first, then the Python, then every argument, whatever is in it."""
    for machine in (ONE, TWO):
        for command, text in zip(
            commands(machine), format_commands(commands(machine), "shell", python=PYTHON).split("\n\n"), strict=True
        ):
            words = shlex.split(text.replace("\\\n", ""))
            assert words == [*(f"{name}={value}" for name, value in command.environment), PYTHON, *command.argv]


def test_a_program_reads_one_command_a_line() -> None:
    """As a JSON array, which every language can start a process with."""
    lines = format_commands(commands(), "argv", python=PYTHON).splitlines()
    assert [json.loads(line) for line in lines] == [[PYTHON, *command.argv] for command in commands()]


@pytest.mark.parametrize("model", ["Qwen/Qwen3-Reranker-4B", "/models/it's: #1", "1.5"])
def test_compose_reads_the_command(model: str) -> None:
    """The image starts vLLM itself, so the model comes first; what needs quotes has them."""
    read = yaml.safe_load(format_commands(commands(model=model), "compose", python=PYTHON))["services"]
    for command in commands(model=model):
        assert read[command.role]["command"] == [command.model, *command.arguments]
        assert read[command.role]["environment"] == dict(command.environment)
        assert "deploy" not in read[command.role]


def test_compose_reserves_a_gpu_for_each_where_there_are_two() -> None:
    """Inside a container the only GPU is the first, so the choice is docker's and not a variable."""
    read = yaml.safe_load(format_commands(commands(TWO), "compose", python=PYTHON))["services"]
    for role, place in (("rerank", "0"), ("embed", "1")):
        assert "CUDA_VISIBLE_DEVICES" not in read[role]["environment"]
        (device,) = read[role]["deploy"]["resources"]["reservations"]["devices"]
        assert device["device_ids"] == [place]


def test_systemd_reads_the_command() -> None:
    """By its own rules: quotes, then percent and dollar signs, which would be expanded in quotes too."""
    (unit, _) = format_commands(commands(model="/m/100% $HOME it's"), "systemd", python="/opt/python").split("\n\n# ")
    start = unit.partition("ExecStart=")[2].partition("\nRestart")[0]
    words = [
        word.replace("%%", "%").replace("$$", "$")
        for word in shlex.split(start.replace("\\\n", "").replace("\\'", "'\\''"))
    ]
    assert words == ["/opt/python", *commands(model="/m/100% $HOME it's")[0].argv]
    assert "Environment=VLLM_NO_USAGE_STATS=1" in unit


def test_the_compose_file_starts_what_the_command_prints() -> None:
    """The gpu profile's two servers, with the models that its service names; on any machine the same."""
    composed = yaml.safe_load((PROJECT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    service = composed["winnow-gpu"]["environment"]
    models = "--rerank-model", service["WINNOW_RERANK_MODEL"], "--embed-model", service["WINNOW_EMBED_MODEL"]
    done = invoked(*models, "--format", "compose")
    assert done.exit_code == 0
    printed = yaml.safe_load(done.stdout)["services"]
    assert set(printed) == {"rerank", "embed"}
    for role, said in printed.items():
        for key, value in said.items():
            assert composed[role][key] == value, f"{role}: {key} is not what `winnow vllm-command` prints"


def test_a_named_gpu_needs_neither_vllm_nor_a_model_here() -> None:
    """The machine that prints is seldom the one that serves."""
    done = invoked(
        "--role", "rerank", "--model", "Qwen/Qwen3-Reranker-8B", "--gpus", "2", "--gpu-memory-gb", "24",
        "--gpu-capability", "9.0", "--tensor-parallel", "2", "--quantization", "fp8", "--json",
    )  # fmt: skip
    (said,) = json.loads(done.stdout)["commands"]
    asked = {"--quantization=fp8_per_channel", "--tensor-parallel-size=2", f"--hf-overrides={RERANKER_HEAD}"}
    assert asked <= set(said["argv"])
    assert said["environment"]["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert [f"{each['flag']}" for each in said["flags"]] == said["argv"][2:]
    assert all(each["reason"] for each in said["flags"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "Qwen/Qwen3-Reranker-4B"], "--model needs --role"),
        (["--role", "judge"], "it must be one of rerank, embed"),
        (["--format", "toml", "--gpus", "1"], "it must be one of shell, argv, compose, systemd"),
        (["--gpus", "1", "--gpu-capability", "new"], "it must look like 8.9"),
        (["--gpus", "1", "--gpu-capability", "8.0", "--quantization", "fp8"], "8.9 or newer"),
        (["--gpus", "1", "--gpu-share", "0.6"], "2 servers cannot have 0.6 of one GPU each"),
        (["--vllm-python", "/nowhere/python"], "/nowhere/python is not a program"),
    ],
)
def test_what_cannot_be_printed_is_refused(arguments: list[str], said: str) -> None:
    """With the option and the reason."""
    with pytest.raises(SettingInvalid, match=said):
        invoked(*arguments)


def test_a_share_given_by_hand_is_used() -> None:
    """By somebody who knows what else is on the GPU."""
    done: Any = json.loads(invoked("--role", "rerank", "--gpus", "1", "--gpu-share", "0.5", "--json").stdout)
    assert "--gpu-memory-utilization=0.50" in done["commands"][0]["argv"]
