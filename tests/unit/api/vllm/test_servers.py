"""The servers beside the service: planned before anything starts, told about while they start, ended with it.

The Python that has vllm is a script of ten lines here, which answers our question and starts the stand-in.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.answers import CheckingClient
from tests.fakes import PrefersWord
from tests.tiny_models import write_embedder, write_reranker
from tests.unit.api.http.routes.test_routes import parts_over
from tests.unit.api.vllm.test_supervisor import STAND_IN, gone, until
from winnow.api.cli.terminal import Terminal
from winnow.api.cli.vllm_progress import shown
from winnow.api.http.app import create_app
from winnow.api.settings import Settings
from winnow.api.vllm.machine import ask_python
from winnow.api.vllm.servers import VllmServers
from winnow.api.vllm.supervisor import State, VllmServer
from winnow.retrieval.errors import ModelUnusable, SettingInvalid
from winnow.retrieval.model.tokenizer import PlainTokenizer

GPU = {"id": "0", "name": "Tiny", "memory": 80_000_000_000, "free": 79_000_000_000, "capability": [9, 0]}


def write_python(
    folder: Path, *, vllm: str | None = "0.32.0", gpus: tuple[object, ...] = (), traces: bool = False
) -> str:
    """A Python that has vllm, as far as we can tell; its servers obey FOLDER/ROLE/script."""
    said = json.dumps({"vllm": vllm, "gpus": gpus, "traces": traces})
    script = folder / "python"
    script.write_text(
        f"""#!/bin/sh
if [ "$1" = "-c" ]; then echo '{said}'; exit; fi
case "$*" in *--hf-overrides*) role=rerank ;; *) role=embed ;; esac
exec {sys.executable} {STAND_IN} {folder}/$role "$@"
"""
    )
    script.chmod(0o755)
    return str(script)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    for role in ("rerank", "embed"):
        (tmp_path / role).mkdir()
        (tmp_path / role / "script").write_text("serve")
    return Settings(
        data=tmp_path / "data",
        rerank_model=str(write_reranker(tmp_path / "reranker")),
        embed_model=str(write_embedder(tmp_path / "embedder")),
        vllm_python=write_python(tmp_path),
    )


def nobody(_: object) -> AbstractAsyncContextManager[None]:
    return nullcontext()


def planned(settings: Settings) -> VllmServers:
    servers = VllmServers.plan(settings, nobody)
    assert servers is not None
    return servers


def test_a_server_is_planned_for_each_model_without_a_url(settings: Settings) -> None:
    """The service is pointed at them, and keeps the URLs that it was given."""
    both = planned(settings)
    with_server_urls = both.with_server_urls(settings)
    assert [server.name for server in both.servers] == ["reranker", "embedder"]
    assert (with_server_urls.rerank_url, with_server_urls.embed_url) == tuple((server.url,) for server in both.servers)
    assert with_server_urls.candidates == settings.candidates_on("cpu"), "vLLM on a CPU is no faster than a CPU"
    given = replace(settings, rerank_url=("http://elsewhere:1",))
    (embedder,) = planned(given).servers
    assert (embedder.name, planned(given).with_server_urls(given).rerank_url) == ("embedder", ("http://elsewhere:1",))
    assert planned(given).with_server_urls(given).candidates is None, (
        "nothing is known of the machine that judges elsewhere"
    )
    assert VllmServers.plan(replace(given, embed_url=("http://elsewhere:2",)), nobody) is None


@pytest.mark.parametrize("can", [True, False])
def test_servers_send_spans_where_their_python_can(settings: Settings, tmp_path: Path, *, can: bool) -> None:
    """Elsewhere vLLM would not start with that flag."""
    python = write_python(tmp_path, traces=can)
    servers = VllmServers.plan(replace(settings, vllm_python=python), nobody, "http://collector:4318/v1/traces")
    assert servers is not None
    for server in servers.servers:
        command = server.command
        assert ("--otlp-traces-endpoint=http://collector:4318/v1/traces" in command.arguments) is can
        assert (("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf") in command.environment) is can


def test_what_cannot_be_started_is_refused_before_anything_starts(settings: Settings, tmp_path: Path) -> None:
    """No vllm, no Python, no Qwen3, no room."""
    with pytest.raises(SettingInvalid, match="has no vllm; install it there, or choose another Python"):
        planned(replace(settings, vllm_python=write_python(tmp_path, vllm=None)))
    with pytest.raises(SettingInvalid, match="failed to report its vllm"):
        planned(replace(settings, vllm_python="false"))
    for stranger in ("true", "echo"):
        with pytest.raises(SettingInvalid, match=f"{stranger} is not a Python"):
            planned(replace(settings, vllm_python=stranger))
    small = write_python(tmp_path, gpus=(GPU | {"free": 2_000_000_000},))
    with pytest.raises(SettingInvalid, match=r"Tiny \(80 GB\) has 1\.5 GB available"):
        planned(replace(settings, vllm_python=small))
    config = Path(settings.embed_model) / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": "bert"}))
    with pytest.raises(ModelUnusable, match="only 'qwen3' is supported"):
        planned(settings)


def test_a_python_says_what_it_sees(tmp_path: Path) -> None:
    """GPUs with size, what is free of it, and what they can do."""
    found = ask_python(write_python(tmp_path, gpus=(GPU,)))
    assert (found.version, found.machine.said) == ("0.32.0", "Tiny (80 GB)")
    assert (found.machine.gpus[0].capability, found.machine.gpus[0].free_bytes) == ((9, 0), 79_000_000_000)


async def test_whoever_waits_is_called_when_all_serve(settings: Settings) -> None:
    """Once when both have come, and again when one has come back; at the end none of them runs."""
    servers = planned(settings)
    called: list[tuple[int, ...]] = []

    async def served() -> None:
        called.append(tuple(server.starts for server in servers.servers))

    async with servers.running(served):
        assert len(servers.problems) == 2
        await until(lambda: called == [(1, 1)])
        assert servers.problems == ()
        pids = [_pid(server) for server in servers.servers]
        os.kill(pids[0], signal.SIGKILL)
        await until(lambda: called == [(1, 1), (2, 1)])
        pids.append(_pid(servers.servers[0]))
    assert [server.state for server in servers.servers] == [State.STOPPING, State.STOPPING]
    for pid in pids:
        await gone(pid)


def _pid(server: VllmServer) -> int:
    return int(server.log.path.read_text().partition("vLLM is process ")[2].split()[0])


def test_the_door_is_open_while_servers_start(settings: Settings, tmp_path: Path) -> None:
    """/readyz names what it waits for; when they serve, the models are asked."""
    for role in ("rerank", "embed"):
        (tmp_path / role / "script").write_text("sleep:0.5 serve")
    servers = planned(settings)
    tokenizer = PlainTokenizer.load(Path(settings.embed_model))
    parts = parts_over(settings.data, tokenizer, PrefersWord("退货"))
    with CheckingClient(create_app(parts, spawned=servers), base_url="http://localhost") as client:
        early = client.get("/readyz")
        assert early.status_code == 503
        assert early.json()["problems"][0].startswith("starting vLLM for the reranker")
        assert [each["role"] for each in early.json()["spawned"]] == ["rerank", "embed"]
        assert client.get("/healthz").status_code == 200
        until_then = time.monotonic() + 20
        while not (said := client.get("/readyz").json())["models"]["probes"] and time.monotonic() < until_then:
            time.sleep(0.1)
        assert [each["state"] for each in said["spawned"]] == ["serving", "serving"]
        assert not any("vLLM" in problem for problem in said["problems"])


async def test_a_log_is_told_how_they_are(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal: one line for each server that has come, with its address and its log."""
    servers = VllmServers.plan(settings, partial(shown, Terminal()))
    assert servers is not None
    served = asyncio.Event()

    async def tell() -> None:
        served.set()

    async with servers.running(tell):
        await asyncio.wait_for(served.wait(), 20)
        await asyncio.sleep(0.5)
    said = capsys.readouterr().err.splitlines()
    assert [line.split()[:2] for line in said] == [["vLLM", "reranker"], ["vLLM", "embedder"]]
    assert all(server.url in line for server, line in zip(servers.servers, said, strict=True))
