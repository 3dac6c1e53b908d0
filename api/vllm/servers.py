"""The vLLM servers that `winnow serve --spawn-vllm` runs, and their health.

One server is started for each model without a URL. All plans are made, or refused, before anything is started. Then the
service starts to listen. Servers that share a GPU or the CPU start one after the other: each measures free memory, and
would otherwise take the other's.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, Final

from winnow.api.settings import Settings
from winnow.api.vllm.command import VllmCommand, Wanted, plan_commands
from winnow.api.vllm.log import VllmLog
from winnow.api.vllm.machine import VllmPython, ask_python
from winnow.api.vllm.model import ROLES, Role, served_from_folder
from winnow.api.vllm.process import answers, find_python, spawn
from winnow.api.vllm.supervisor import LOOK_SECONDS, RealClock, State, VllmServer

FOLDER: Final = "vllm"  # in the data folder: the servers' logs

Shown = Callable[[Sequence[VllmServer]], AbstractAsyncContextManager[None]]  # shows people the state of the servers


class VllmServers:
    """The servers, created before the service, which needs their URLs. Implements `readiness.Spawned`."""

    def __init__(self, servers: tuple[VllmServer, ...], found: VllmPython, shown: Shown) -> None:
        self.servers = servers
        self.found = found
        self._shown = shown

    @classmethod
    def plan(cls, settings: Settings, shown: Shown, traces: str | None = None) -> VllmServers | None:
        """Plan the servers; None if every model has a URL. Takes seconds: the other Python is asked for its vllm.

        `traces` is the URL to which they send their spans, if that Python can.

        Raises `SettingInvalid` if that lacks vllm or the models do not fit, and what finding a model raises.
        """
        roles = [role for role in ROLES if not _url(settings, role)]
        if not roles:
            return None
        models = {"rerank": settings.rerank_model, "embed": settings.embed_model}
        served = [served_from_folder(role, models[role], source=settings.model_source) for role in roles]
        found = ask_python(find_python(settings.vllm_python))
        wanted = Wanted(
            quantization=settings.quantization,
            dtype=settings.dtype,
            front=settings.vllm_front,
            traces=traces if found.sends_traces else None,
        )
        ports = _free_ports(len(roles))
        commands = plan_commands(served, found.machine, wanted, ports=ports)
        return cls(_servers(commands, ports, settings, found.python), found, shown)

    def with_server_urls(self, settings: Settings) -> Settings:
        """The settings of the service that uses the servers."""
        urls = {server.command.role: (server.url,) for server in self.servers}
        is_slow = "rerank" in urls and not self.found.machine.gpus
        return replace(
            settings,
            candidates=settings.candidates_on("cpu") if is_slow else settings.candidates,
            rerank_url=urls.get("rerank", settings.rerank_url),
            embed_url=urls.get("embed", settings.embed_url),
        )

    @property
    def problems(self) -> tuple[str, ...]:
        """Why servers do not answer."""
        return tuple(server.problem for server in self.servers if server.problem is not None)

    def said(self, *, names_shown: bool) -> list[dict[str, Any]]:
        """For /readyz."""
        return [server.said() | {"url": server.url if names_shown else None} for server in self.servers]

    @contextlib.asynccontextmanager
    async def running(self, served: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """Run the servers while the block runs. `served` is called whenever all of them have started to answer."""
        async with self._shown(self.servers), asyncio.TaskGroup() as tasks:
            begun = [tasks.create_task(server.run()) for server in self.servers]
            begun.append(tasks.create_task(self._tell(served)))
            try:
                yield
            finally:
                for server in self.servers:
                    server.leave()
                for task in begun:
                    task.cancel()

    async def _tell(self, served: Callable[[], Awaitable[None]]) -> None:
        told = 0  # total number of starts at the last call
        while True:
            starts = sum(server.starts for server in self.servers)
            if starts != told and all(server.state is State.SERVING for server in self.servers):
                await served()
                told = sum(server.starts for server in self.servers)  # including those during the call
            await asyncio.sleep(LOOK_SECONDS)


def _url(settings: Settings, role: Role) -> object:
    return settings.rerank_url if role == "rerank" else settings.embed_url


def _servers(
    commands: tuple[VllmCommand, ...], ports: list[int], settings: Settings, python: str
) -> tuple[VllmServer, ...]:
    folder = settings.folder.absolute() / FOLDER
    used = [gpu for command in commands for gpu in command.place.gpus]
    are_apart = bool(used) and len(set(used)) == len(used)
    turn = asyncio.Lock()
    return tuple(
        VllmServer(
            command,
            python=python,
            port=port,
            log=VllmLog(folder / f"{command.role}.log"),
            turn=asyncio.Lock() if are_apart else turn,
            spawn=spawn,
            answers=answers,
            clock=RealClock(),
        )
        for command, port in zip(commands, ports, strict=True)
    )


def _free_ports(count: int) -> list[int]:
    """Distinct ports without a listener; all are held until all are found."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
