"""`winnow serve`: run the HTTP service until it is stopped."""

from __future__ import annotations

import errno
import socket
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

import typer

from winnow.api.cli.options import (
    DEVICE,
    EMBEDDER,
    INDEXES,
    RERANKER,
    REWRITER,
    with_settings,
)
from winnow.api.cli.terminal import Exit, Terminal
from winnow.api.settings import Settings, trace_export
from winnow.retrieval.errors import AddressInUse, SettingInvalid
from winnow.retrieval.interrupts import ending_at_once
from winnow.retrieval.quick_start import quick_start
from winnow.retrieval.torch_start import map_torch

if TYPE_CHECKING:
    from winnow.api.diagnostics.readiness import Readiness
    from winnow.api.vllm.servers import VllmServers

OPEN_DOOR: Final = "Access       NO KEY: any user of this machine has access (create a key: winnow keys bootstrap)"

NO_PAGE: Final = "Page         not installed (pip install 'winnow-search[ui]')"

LOGGING: Final[dict[str, Any]] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "winnow.api.http.log_format.LineFormatter",
            "fmt": "%(asctime)s %(levelname)s %(name)s: %(message)s",
        },
        "json": {"()": "winnow.api.http.log_format.JsonFormatter"},
    },
    "filters": {"sparing": {"()": "winnow.api.http.log_rate.SparingRefusals"}},
    "handlers": {"stderr": {"class": "winnow.api.cli.terminal.StderrHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        "opentelemetry": {"level": "ERROR"},  # it would log each try while a collector is away
        "uvicorn.access": {"level": "WARNING"},  # the service writes its own line for each request
        "winnow.api.http.observed": {"level": "INFO", "filters": ["sparing"]},
        "winnow.api.collections.folding": {"level": "INFO"},
    },
}


def log_config(settings: Settings) -> dict[str, Any]:
    """Return the configuration of the log, in the form that the settings want."""
    form = "json" if settings.log_format == "json" else "line"
    return LOGGING | {"handlers": {"stderr": LOGGING["handlers"]["stderr"] | {"formatter": form}}}


@with_settings(
    "data",
    "host",
    "port",
    "log_format",
    "cors_origins",
    "webhook_hosts",
    "candidates",
    "recall",
    "depth",
    "chunk_tokens",
    "timeout_ms",
    "drain_seconds",
    "stop_seconds",
    "replay_seconds",
    "fold_chunks",
    "fold_seconds",
    "generations_kept",
    *INDEXES,
    "judgement_cache_mb",
    "query_cache_mb",
    "text_cache_mb",
    "index_cache_mb",
    "cache_seconds",
    "limit_requests_per_minute",
    "limit_rerank_tokens_per_minute",
    "limit_concurrent_requests",
    "limit_documents",
    "limit_bytes",
    *EMBEDDER,
    *RERANKER,
    *REWRITER,
    *DEVICE,
    "spawn_vllm",
    "vllm_python",
    "vllm_front",
    "quantization",
)
@ending_at_once()  # until the server handles signals, and after it has stopped
def serve(*, settings: Settings) -> None:
    """Serve the HTTP API until Ctrl-C or SIGTERM.

    Without an API key the service listens on this machine only. Set WINNOW_API_KEY, or create a key with 'winnow keys
    bootstrap', to listen elsewhere. /docs documents the routes; /readyz reports whether collections are open and models
    answer correctly.

    --spawn-vllm starts vLLM servers for the models and stops them with the service; 'winnow vllm-command' prints their
    command lines.
    """
    terminal = Terminal()
    from winnow.api.tenancy.access import refuse_open_door
    from winnow.retrieval.index.memory import limit_arenas

    limit_arenas()
    with quick_start():
        refuse_open_door(settings.host, has_key=_has_key(settings))
    if not (settings.embed_url or settings.spawn_vllm):
        map_torch()  # after the libraries of the store, which would wait for it
    bound = _bind(settings)
    spawned = _plan_vllm(terminal, settings) if settings.spawn_vllm else None
    settings = spawned.with_server_urls(settings) if spawned else settings
    rerankers = ", ".join([settings.rerank_model, *(each.model for each in settings.rerank_also)])
    terminal.say(f"Loading {settings.embed_model} and {rerankers} ...")
    _run(terminal, settings, bound, spawned)
    terminal.say("Stopped.")


def _has_key(settings: Settings) -> bool:
    """Whether a key is set, or the catalog has one."""
    from winnow.api.collections.data_folder import DataFolder

    return settings.api_key is not None or DataFolder.of(settings).catalog.keys.has_any()


def _plan_vllm(terminal: Terminal, settings: Settings) -> VllmServers | None:
    """Plan the vLLM servers without starting them. Raises what `plan` raises."""
    from functools import partial

    from winnow.api.cli.vllm_progress import shown
    from winnow.api.vllm.servers import VllmServers

    terminal.say("Planning vLLM ...")
    servers = VllmServers.plan(settings, partial(shown, terminal), trace_export().endpoint or None)
    if servers is None:
        terminal.warn("vLLM is not started: both models have a URL.")
        return None
    runs_on = f"vLLM {servers.found.version} of {servers.found.python}, on {servers.found.machine.said}"
    terminal.say(f"Will start {' and '.join(server.name for server in servers.servers)} with {runs_on}.")
    return servers


def _run(terminal: Terminal, settings: Settings, bound: socket.socket, spawned: VllmServers | None) -> None:
    with quick_start():
        routes = Thread(target=import_module, args=("winnow.api.http.app",))
        routes.start()  # the other core loads the models meanwhile; what fails there fails again below
        from winnow.api.assemble import assemble
        from winnow.api.search.caches import Caches

        parts = assemble(settings, caches=Caches.of(settings))
        routes.join()
        from winnow.api.http.app import create_app
        from winnow.api.http.connections import Connections
        from winnow.api.http.server import BACKLOG, Server, connections_max, raise_descriptors
        from winnow.api.http.trace_export import exporting

    most = connections_max(raise_descriptors())
    bound.listen(BACKLOG)  # before the announcement: early connections wait instead of being refused
    export = trace_export()
    if export.problem is not None:
        terminal.warn(export.problem)
    with exporting(export) as provider:
        announce = _Announcement(terminal, _url(bound), settings)
        app = create_app(
            parts,
            announce=announce,
            spawned=spawned,
            tracer_provider=provider,
            page_ahead=True,
            late_routes=True,
        )
        server = Server(
            app,
            log_config=log_config(settings),
            connections=Connections(most),
            drain_seconds=settings.drain_seconds,
            stop_seconds=settings.stop_seconds,
            stopping=app.state.readiness.stop,
        )
        server.run(sockets=[bound])
    if not server.started:
        raise typer.Exit(Exit.FAILED)  # the reason has been logged


def _bind(settings: Settings) -> socket.socket:
    """Bind the port before models are loaded, so that a port in use fails at once. Raises `SettingInvalid`."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        except OSError:
            bound.close()
            raise
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(
                f"{settings.host}:{settings.port}. Stop that program, or choose another port with --port (0 takes a "
                "free one)"
            ) from error
        raise SettingInvalid(f"cannot listen on {settings.host} port {settings.port}: {error.strerror}") from error
    return bound


def _url(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Announcement:
    """Tells the operator when the service listens, and when servers that were missing have become ready."""

    def __init__(self, terminal: Terminal, url: str, settings: Settings) -> None:
        self._terminal, self._url, self._settings = terminal, url, settings
        self._is_made = False

    def __call__(self, readiness: Readiness) -> None:
        if not self._is_made:
            self._is_made = True
            self._make(readiness)
        else:
            self._terminal.say("Ready        the models answer correctly", style="")

    def _make(self, readiness: Readiness) -> None:
        names = ", ".join(each["name"] for each in readiness.collections()) or "none yet"
        from winnow.api.http.page.routes import is_installed

        lines = (
            f"Listening    {self._url}",
            f"Page         {self._url}/ui" if is_installed() else NO_PAGE,
            f"Docs         {self._url}/docs",
            f"Data         {self._settings.data}",
            f"Collections  {names}",
            "Access       by API key" if _has_key(self._settings) else OPEN_DOOR,
            *(f"NOT READY    {problem}" for problem in readiness.problems),
        )
        for line in lines:
            self._terminal.say(line, style="yellow" if line.startswith("NOT") or line == OPEN_DOOR else "")
