"""Workers as actors of Ray. The only module that imports ray, an optional extra.

Rule 1: Ray restarts and repeats nothing (`max_restarts=0`, `max_task_retries=0`). An actor that Ray restarts waits
forever if its node is gone and no other has a free CPU, and so do its tasks.
Rule 2: errors of winnow that a worker raises are raised here as they are. Everything else is a lost worker: a node that
is gone, a process that was killed, a result that went with its node, a device that fails.
Rule 3: a cluster that this process starts listens on the loopback interface only and ends with it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
import threading
import warnings
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, Self, cast

import ray
from ray.exceptions import RayError, RayTaskError

import winnow
from winnow.indexer.distributed.address import AUTO, require_reachable
from winnow.indexer.distributed.plan import NodeRoom, WorkerPlan
from winnow.indexer.distributed.workers import LoadedModel, WorkerLost
from winnow.retrieval.embed.embedder import Embedder, Embeddings, Passage, TakesTokens
from winnow.retrieval.errors import EmbedderUnavailable, SettingInvalid, WinnowError

NOT_IMPORTED: Final = "failed to import on the worker"  # what Ray says of an actor whose module is missing
JOIN_SECONDS: Final = 30.0  # until Ray has connected; without a deadline of ours it tries for minutes
OBJECT_STORE_BYTES: Final = 256 * 1024 * 1024  # of a cluster of our own; a window takes some megabytes


class RayCluster:
    """A connection to a Ray cluster. Use it in a `with` block."""

    def __init__(self, address: str | None) -> None:
        """None starts a cluster on this machine. Raises `SettingInvalid`, `EmbedderUnavailable`."""
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        if address is None:
            self._folder = tempfile.TemporaryDirectory(prefix="winnow-ray-", ignore_cleanup_errors=True)
            _start_here(self._folder.name)
        else:
            require_reachable(address)
            _join(address)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        ray.shutdown()
        if self._folder is not None:
            self._folder.cleanup()

    def nodes(self) -> list[NodeRoom]:
        """What the nodes have, occupied or not."""
        found = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return [NodeRoom(cpus=int(each.get("CPU", 0)), gpus=int(each.get("GPU", 0))) for each in found]

    async def start(self, plan: WorkerPlan, load: Callable[[], Embedder]) -> RayWorker:
        """Start a worker when a node has room, which may be never. `load` is pickled. Raises `WorkerLost`."""
        actor = (
            ray.remote(_Process)
            .options(num_cpus=plan.cpus, num_gpus=plan.gpus, max_restarts=0, max_task_retries=0)
            .remote()
        )
        try:
            name, version = await _answer(actor.describe.remote())
        except BaseException:
            ray.kill(actor)
            raise
        return RayWorker(actor, name=name, version=version, load=load)


class RayWorker:
    """A `Worker` that is an actor."""

    def __init__(self, actor: Any, *, name: str, version: str, load: Callable[[], Embedder]) -> None:
        self.name = name
        self.version = version
        self._actor = actor
        self._load = load

    async def load(self) -> LoadedModel:
        return cast("LoadedModel", await _answer(self._actor.load.remote(self._load)))

    async def embed(self, passages: Sequence[Passage]) -> Embeddings:
        return cast("Embeddings", await _answer(self._actor.embed.remote(list(passages))))

    def stop(self) -> None:
        ray.kill(self._actor)


class _Process:
    """What runs in the worker's process. Its methods answer one after the other."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()  # one event loop for all calls, since connections belong to a loop
        self._embedder: Embedder | None = None

    def describe(self) -> tuple[str, str]:
        """Name, and version of winnow. Called before anything that may differ between versions."""
        return f"{socket.gethostname()}/{os.getpid()}", winnow.__version__

    def load(self, load: Callable[[], Embedder]) -> LoadedModel:
        self._embedder = embedder = load()
        return LoadedModel(identity=embedder.identity, runs_on=getattr(embedder, "runs_on", ""))

    def embed(self, passages: list[Passage]) -> Embeddings:
        assert self._embedder is not None, "load comes first. This is a bug."
        return self._runner.run(_embed(self._embedder, passages))


async def _embed(embedder: Embedder, passages: Sequence[Passage]) -> Embeddings:
    if isinstance(embedder, TakesTokens):
        return await embedder.embed_tokenised(passages)
    return await embedder.embed_passages([passage.text for passage in passages])


async def _answer(reference: Any) -> Any:
    """Await what an actor returns. Raises `WorkerLost`, and the actor's `WinnowError`."""
    try:
        return await asyncio.wrap_future(reference.future())
    except RayTaskError as failed:
        if isinstance(failed.cause, WinnowError):
            raise failed.cause from None
        raise WorkerLost(f"it raised {failed.cause!r}") from failed
    except RayError as gone:
        if NOT_IMPORTED in str(gone):
            raise SettingInvalid(
                f"a node of the Ray cluster cannot import winnow: {_last_line(str(gone))}. Install winnow-search "
                f"{winnow.__version__} for the Python that runs Ray there"
            ) from gone
        raise WorkerLost(_first_sentence(str(gone))) from gone


def _first_sentence(text: str) -> str:
    return text.strip().partition("\n")[0].partition(". ")[0].rstrip(".")


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2].rstrip(".")


def _start_here(folder: str) -> None:
    """Start a cluster of one node. In the calling thread: the cluster's processes end with the thread that starts them.

    Raises `EmbedderUnavailable`.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="lance is not fork-safe")  # Ray forks only to execute programs
            ray.init(
                address="local",
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                log_to_driver=False,
                logging_level="error",
                _temp_dir=folder,
            )
    except (RuntimeError, OSError, ValueError) as error:
        raise EmbedderUnavailable(f"Ray cannot start on this machine: {error}") from error


def _join(address: str) -> None:
    """Connect in a thread that can be left behind. Raises `EmbedderUnavailable`."""
    failed: list[Exception] = []
    done = threading.Event()

    def connect() -> None:
        try:
            ray.init(address=address, log_to_driver=False, logging_level="error")
        except Exception as error:  # noqa: BLE001  it is raised by the thread that waits
            failed.append(error)
        done.set()

    threading.Thread(target=connect, name="winnow-ray", daemon=True).start()
    if not done.wait(JOIN_SECONDS):
        raise EmbedderUnavailable(f"the Ray cluster at {address} did not answer within {JOIN_SECONDS:.0f} s")
    if failed:
        error = failed[0]
        if isinstance(error, ConnectionError) and address == AUTO:
            raise EmbedderUnavailable(
                "this machine is not a node of a running Ray cluster; run: ray start --address=HEAD:PORT"
            ) from error
        raise EmbedderUnavailable(f"Ray cannot connect to {address}: {error}") from error
