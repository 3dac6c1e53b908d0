"""Which vLLM servers does `winnow serve --spawn-vllm` run beside itself, and are they well?

A server is started for each model that no URL is given for. All plans are made, and refused, before anything is
started; then the service opens its door, and the servers start one after the other where they share a GPU or the CPU:
each measures what memory is free, and would take the other's for its own.
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
from winnow.api.vllm.command import VllmCommand, Wanted, vllm_commands
from winnow.api.vllm.log import VllmLog
from winnow.api.vllm.machine import VllmPython, ask_python
from winnow.api.vllm.model import ROLES, Role, served_from_folder
from winnow.api.vllm.process import answers, found_python, spawn
from winnow.api.vllm.supervisor import LOOK_SECONDS, RealClock, State, VllmServer

FOLDER: Final = "vllm"  # of the data folder: the servers' logs

Shown = Callable[[Sequence[VllmServer]], AbstractAsyncContextManager[None]]  # tells a person how they are


class VllmServers:
    """Made before the service is, since the service is told their URLs. Implements `readiness.Spawned`."""

    def __init__(self, servers: tuple[VllmServer, ...], found: VllmPython, shown: Shown) -> None:
        self.servers = servers
        self.found = found
        self._shown = shown

    @classmethod
    def planned(cls, settings: Settings, shown: Shown) -> VllmServers | None:
        """None where every model has a URL. Takes seconds: the other Python is asked what it has.

        Raises `SettingInvalid` where that has no vllm or the models do not fit, and what finding a model raises.
        """
        roles = [role for role in ROLES if not _url(settings, role)]
        if not roles:
            return None
        models = {"rerank": settings.rerank_model, "embed": settings.embed_model}
        served = [served_from_folder(role, models[role]) for role in roles]
        found = ask_python(found_python(settings.vllm_python))
        wanted = Wanted(quantization=settings.quantization, dtype=settings.dtype, front=settings.vllm_front)
        ports = _free_ports(len(roles))
        commands = vllm_commands(served, found.machine, wanted, ports=ports)
        return cls(_servers(commands, ports, settings, found.python), found, shown)

    def pointed(self, settings: Settings) -> Settings:
        """The settings of the service in front of them."""
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
        """What keeps them from answering."""
        return tuple(server.problem for server in self.servers if server.problem is not None)

    def said(self, *, names_shown: bool) -> list[dict[str, Any]]:
        """For /readyz."""
        return [server.said() | {"url": server.url if names_shown else None} for server in self.servers]

    @contextlib.asynccontextmanager
    async def running(self, served: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """Starts them, and ends them. `served` is called whenever all of them have come to answer."""
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
        told = 0  # starts, all servers together, when it was last told
        while True:
            starts = sum(server.starts for server in self.servers)
            if starts != told and all(server.state is State.SERVING for server in self.servers):
                await served()
                told = sum(server.starts for server in self.servers)  # those it has waited for among them
            await asyncio.sleep(LOOK_SECONDS)


def _url(settings: Settings, role: Role) -> object:
    return settings.rerank_url if role == "rerank" else settings.embed_url


def _servers(
    commands: tuple[VllmCommand, ...], ports: list[int], settings: Settings, python: str
) -> tuple[VllmServer, ...]:
    folder = settings.data.absolute() / FOLDER
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
    """Different ones that nobody listens on now; all are held until all are known."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
