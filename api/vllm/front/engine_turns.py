"""Runs vLLM's engine in this process: takes prepared inputs, steps, delivers results.

Rule 1: only the main thread touches what is being computed.
Rule 2: on a GPU the next step is scheduled and launched while the last one computes, so that the GPU does not wait for
its host. Who arrives in the meantime is in that next step.
Rule 3: an engine failure ends the process, and its supervisor restarts it; a server that went on could not be trusted.
"""

from __future__ import annotations

import asyncio
import itertools
import queue
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from shared_prefix import SharedPrefix, shared_tokens
from vllm import PoolingParams
from vllm.exceptions import VLLMValidationError
from vllm.inputs import tokens_input

_LOOK_SECONDS: Final = 0.0005  # between looks at the GPU while everything is on it

Trace = Mapping[str, str] | None  # the caller's trace headers; None if vLLM sends no spans


class Refused(Exception):
    """The request is invalid."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


class Prepared(NamedTuple):
    """An input that is ready to be computed."""

    name: str
    request: Any  # in the form of vLLM's front
    hashed: Any  # in the form of its scheduler


class Job:
    """One request in the engine. `done` resolves to one tensor per input."""

    def __init__(self, prepared: Sequence[Prepared], loop: asyncio.AbstractEventLoop) -> None:
        self.prepared = prepared
        self.rows: list[Any] = [None] * len(prepared)
        self.left = len(prepared)
        self.done: asyncio.Future[list[Any]] = loop.create_future()
        self._loop = loop

    def finish(self) -> None:
        self._loop.call_soon_threadsafe(self._resolve)

    def _resolve(self) -> None:
        if not self.done.done():  # it is done if the caller has left
            self.done.set_result(self.rows)


class Turns:
    """The engine's loop: take arrivals, step, deliver results. `run` is for the main thread, the rest for HTTP's."""

    def __init__(self, engine: Any, prefix: SharedPrefix | None) -> None:
        self._engine = engine
        self._prefix = prefix
        self._core = engine.engine_core.engine_core
        self._tasks = engine.get_supported_tasks()
        self._arrived: queue.SimpleQueue[tuple[Callable[[Job], None], Job] | None] = queue.SimpleQueue()
        self._numbers = itertools.count()
        self._waiting: dict[str, tuple[Job, int]] = {}  # by name: job and index of the input

    def prepare(self, inputs: Sequence[list[int]], task: str, salt: str | None, trace: Trace) -> list[Prepared]:
        """Check inputs and hash them for the prefix cache, while the engine computes.

        Raises `Refused` for an input that is too long, or with ids or a task that the model lacks.
        """
        return self._prepare(inputs, PoolingParams(task=task), salt, trace)

    def _prepare(
        self, inputs: Sequence[list[int]], params: PoolingParams, salt: str | None, trace: Trace
    ) -> list[Prepared]:
        number = next(self._numbers)
        checked = self._engine.input_processor
        shared = shared_tokens(inputs)
        found = []
        try:
            for place, ids in enumerate(inputs):
                name = f"{number}-{place}"
                prompt = tokens_input(ids, cache_salt=salt)
                request = checked.process_inputs(name, prompt, params, supported_tasks=self._tasks, trace_headers=trace)
                checked.assign_request_id(request)
                hashed = self._core.preprocess_add_request(request)
                hashed[0].shared_tokens = shared  # for SharedPrefix
                found.append(Prepared(name=name, request=request, hashed=hashed))
        except (ValueError, VLLMValidationError) as error:
            raise Refused(400, str(error)) from error
        return found

    def put(self, job: Job) -> None:
        self._arrived.put((self._add, job))

    def drop(self, job: Job) -> None:
        """Cancel a job that is no longer awaited."""
        self._arrived.put((self._abort, job))

    def stop(self) -> None:
        self._arrived.put(None)

    def run(self) -> None:
        """Run until `stop`. Raises what the engine raises."""
        while self._take():
            self._step()

    def raw(self, inputs: Sequence[list[int]], salt: str) -> list[Any]:
        """Compute inputs at once, before `run`: logits of a classifier, else vectors."""
        task = "classify" if "classify" in self._tasks else "embed"
        loop = asyncio.new_event_loop()  # nothing awaits this job
        job = Job(self._prepare(inputs, PoolingParams(task=task, use_activation=False), salt, None), loop)
        self._add(job)
        while job.left:
            self._step()
        loop.close()
        return job.rows

    def _step(self) -> None:
        outputs = self._engine.step()
        if self._prefix is not None:
            self._prefix.require_copies()
        for output in outputs:
            job, place = self._waiting.pop(output.request_id)
            job.rows[place] = output.outputs.data
            job.left -= 1
            if not job.left:
                job.finish()

    def _take(self) -> bool:
        """Take everything that has arrived; wait if there is nothing to schedule. False means stop."""
        is_scheduled = False  # whether all that has arrived is in a step
        while True:
            try:
                arrived = self._arrived.get(block=not self._waiting)
            except queue.Empty:
                is_scheduled = is_scheduled or self._is_scheduled()
                if not is_scheduled or self._has_result():
                    return True
                try:
                    arrived = self._arrived.get(timeout=_LOOK_SECONDS)
                except queue.Empty:
                    continue
            if arrived is None:
                return False
            act, job = arrived
            act(job)
            is_scheduled = False

    def _is_scheduled(self) -> bool:
        """Whether the next step would have nothing to compute. Reads every input in progress."""
        scheduler = self._core.scheduler
        return (
            bool(self._core.batch_queue)  # else steps do not overlap, or none is in flight
            and not scheduler.waiting
            and all(each.num_computed_tokens >= each.num_tokens for each in scheduler.running)
        )

    def _has_result(self) -> bool:
        """Whether the oldest step in flight is done, or computes where nothing tells."""
        future, *_ = self._core.batch_queue[-1]
        on_gpu = getattr(future, "async_output", None)
        return on_gpu is None or on_gpu.async_copy_ready_event.query()

    def _add(self, job: Job) -> None:
        """Does what `LLMEngine.add_request` does, with a prepared input."""
        for place, each in enumerate(job.prepared):
            self._engine.output_processor.add_request(each.request, None)
            self._core.add_request(*each.hashed)
            self._waiting[each.name] = job, place

    def _abort(self, job: Job) -> None:
        left = [each.name for each in job.prepared if self._waiting.pop(each.name, None)]
        if left:
            self._engine.abort_request(left)
            self._account()

    def _account(self) -> None:
        """Update /metrics, which vLLM does at the end of a step: there may be none after this."""
        if self._engine.logger_manager is not None:
            self._engine.logger_manager.record(
                scheduler_stats=self._core.scheduler.make_stats(), iteration_stats=None, mm_cache_stats=None
            )
