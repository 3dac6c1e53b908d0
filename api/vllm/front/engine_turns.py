"""Runs vLLM's engine in this process: takes requests, prepares their inputs, steps, delivers results.

Rule 1: only the main thread touches what is being computed.
Rule 2: on a GPU the next step is scheduled and launched while the last one computes, so that the GPU does not wait for
its host. Who arrives in the meantime is in that next step.
Rule 3: only the main thread prepares inputs. Two threads that want Python's lock wait up to 5 ms for each other, each
time; one that prepared kept a request's first kernel from the GPU for 15 ms (bench/RESULTS.md). Inputs are prepared for
the next step only, and for an idle GPU few, so that it begins; the rest is prepared while it computes.
Rule 4: results are delivered before vLLM accounts for them.
Rule 5: an engine failure ends the process, and its supervisor restarts it; a server that went on could not be trusted.
"""

from __future__ import annotations

import asyncio
import itertools
import queue
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from shared_prefix import SharedPrefix, shared_tokens
from vllm import PoolingParams
from vllm.exceptions import VLLMValidationError
from vllm.inputs import tokens_input

FIRST_TOKENS: Final = 4_096  # of a step on an idle GPU: enough to compute until the next step is launched
_LOOK_SECONDS: Final = 0.0005  # between looks at the GPU while everything is on it
_GIVE_WAY_SECONDS: Final = 0.0003  # to the thread that answers, when a request is done

Trace = Mapping[str, str] | None  # the caller's trace headers; None if vLLM sends no spans


class Refused(Exception):
    """The request is invalid."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


class Job:
    """One request in the engine. `done` resolves to one tensor per input, or to what was raised while it was prepared.

    Made in the thread of `loop`; the rest is for the engine's thread.
    """

    def __init__(
        self,
        inputs: Sequence[list[int]],
        params: PoolingParams,
        loop: asyncio.AbstractEventLoop,
        *,
        salt: str | None = None,
        trace: Trace = None,
    ) -> None:
        self.inputs = inputs
        self.params, self.salt, self.trace = params, salt, trace
        self.names: list[str] = []  # vLLM's, of the inputs that are prepared
        self.shared = 0  # tokens that all inputs begin with
        self.rows: list[Any] = [None] * len(inputs)
        self.left = len(inputs)
        self.failed: Exception | None = None
        self.arrived = time.time()
        self.done: asyncio.Future[list[Any]] = loop.create_future()
        self._loop = loop

    @property
    def next_tokens(self) -> int:
        """Tokens to compute for the next input to prepare, if what the inputs share has been computed."""
        place = len(self.names)
        return len(self.inputs[place]) - (self.shared if place else 0)

    def finish(self) -> None:
        self._loop.call_soon_threadsafe(self._resolve)

    def fail(self, error: Exception) -> None:
        self.failed = error
        self.finish()

    def _resolve(self) -> None:
        if self.done.done():  # as it is if the caller has left
            return
        if self.failed is None:
            self.done.set_result(self.rows)
        else:
            self.done.set_exception(self.failed)


class Turns:
    """The engine's loop: take arrivals, step, deliver results. `run` is for the main thread, the rest for HTTP's."""

    def __init__(self, engine: Any, prefix: SharedPrefix | None) -> None:
        self._engine = engine
        self._prefix = prefix
        self._core = engine.engine_core.engine_core
        self._step_tokens: int = engine.vllm_config.scheduler_config.max_num_batched_tokens
        self._tasks = engine.get_supported_tasks()
        self._arrived: queue.SimpleQueue[tuple[Callable[[Job], None], Job] | None] = queue.SimpleQueue()
        self._numbers = itertools.count()
        self._unprepared: deque[Job] = deque()  # in whole or in part, in the order of their arrival
        self._waiting: dict[str, tuple[Job, int]] = {}  # by vLLM's name: job and index of the input
        self._compute, engine.engine_core.get_output = engine.engine_core.get_output, self._delivered
        scheduler = self._core.scheduler
        self._stats, scheduler.make_stats = scheduler.make_stats, self._whole_stats

    def put(self, job: Job) -> None:
        self._arrived.put((self._unprepared.append, job))

    def drop(self, job: Job) -> None:
        """Cancel a job that is no longer awaited."""
        self._arrived.put((self._abort, job))

    def stop(self) -> None:
        self._arrived.put(None)

    def run(self) -> None:
        """Run until `stop`. Raises what the engine raises."""
        while self._take():
            self._engine.step()

    def raw(self, inputs: Sequence[list[int]], salt: str) -> list[Any]:
        """Compute inputs at once, before `run`: logits of a classifier, else vectors."""
        task = "classify" if "classify" in self._tasks else "embed"
        loop = asyncio.new_event_loop()  # nothing awaits this job
        job = Job(inputs, PoolingParams(task=task, use_activation=False), loop, salt=salt)
        self._unprepared.append(job)
        while job.left:
            self._fill_step()
            if job.failed is not None:
                raise job.failed
            self._engine.step()
        loop.close()
        return job.rows

    def _delivered(self) -> Any:
        """Compute as vLLM does, and deliver the results before it accounts for them."""
        outputs = self._compute()
        if self._prefix is not None:
            self._prefix.require_copies()
        is_any_done = False
        for output in outputs.outputs:
            if output.pooling_output is not None and (found := self._waiting.pop(output.request_id, None)):
                job, place = found
                job.rows[place] = output.pooling_output
                job.left -= 1
                if not job.left:
                    job.finish()
                    is_any_done = True
        if is_any_done:
            time.sleep(_GIVE_WAY_SECONDS)
        return outputs

    def _take(self) -> bool:
        """Take everything that has arrived; wait if there is nothing to schedule. False means stop."""
        is_scheduled = False  # whether all that has arrived is in a step
        while True:
            try:
                arrived = self._arrived.get(block=not self._waiting and not self._unprepared)
            except queue.Empty:
                is_scheduled = not self._fill_step() and (is_scheduled or self._is_scheduled())
                if not self._waiting:
                    continue  # all that has arrived was refused
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

    def _fill_step(self) -> bool:
        """Prepare as many inputs as the next step can take. Returns whether there were any."""
        is_any = False
        room = self._room() if self._unprepared else 0
        while self._unprepared and room > 0:
            job = self._unprepared[0]
            room -= job.next_tokens
            try:
                request, hashed = self._prepared(job)
            except (ValueError, VLLMValidationError) as error:
                self._give_up(job, Refused(400, str(error)))
            except Exception as error:  # noqa: BLE001  raised again in the thread that answers: it fails one request
                self._give_up(job, error)
            else:
                self._add(job, request, hashed)
                is_any = True
        return is_any

    def _room(self) -> int:
        """How many tokens of inputs that are not prepared the next step could compute."""
        in_flight = self._core.batch_queue  # None where steps do not overlap
        is_idle = in_flight is not None and not in_flight
        most = min(FIRST_TOKENS, self._step_tokens) if is_idle else self._step_tokens
        ready: int = sum(each.num_tokens - each.shared_tokens for each in self._core.scheduler.waiting)
        return most - ready

    def _prepared(self, job: Job) -> tuple[Any, Any]:
        """Check the job's next input and hash it for the prefix cache. Returns it for vLLM's front and its scheduler.

        Raises what vLLM raises for an input that is too long, or with ids or a task that the model lacks.
        """
        place = len(job.names)
        if not place:
            job.shared = shared_tokens(job.inputs)
        checked = self._engine.input_processor
        prompt = tokens_input(job.inputs[place], cache_salt=job.salt)
        name = str(next(self._numbers))
        request = checked.process_inputs(
            name,
            prompt,
            job.params,
            supported_tasks=self._tasks,
            arrival_time=job.arrived,
            trace_headers=job.trace,
        )
        checked.assign_request_id(request)
        hashed = self._core.preprocess_add_request(request)
        hashed[0].shared_tokens = job.shared  # for SharedPrefix
        return request, hashed

    def _add(self, job: Job, request: Any, hashed: Any) -> None:
        """Does what `LLMEngine.add_request` does, with a prepared input."""
        self._engine.output_processor.add_request(request, None)
        self._core.add_request(*hashed)
        self._waiting[request.request_id] = job, len(job.names)
        job.names.append(request.request_id)
        if len(job.names) == len(job.inputs):
            self._unprepared.popleft()

    def _give_up(self, job: Job, error: Exception) -> None:
        self._abort(job)
        job.fail(error)

    def _abort(self, job: Job) -> None:
        is_unprepared = job in self._unprepared
        if is_unprepared:
            self._unprepared.remove(job)
        left = [name for name in job.names if self._waiting.pop(name, None)]
        if left:
            self._engine.abort_request(left, internal=True)
        if left or is_unprepared:
            self._account()

    def _whole_stats(self, *arguments: Any, **options: Any) -> Any:
        """vLLM's account of itself, in which what is not prepared is waiting, too."""
        stats = self._stats(*arguments, **options)
        if stats is not None:
            stats.num_waiting_reqs += sum(len(job.inputs) - len(job.names) for job in self._unprepared)
        return stats

    def _account(self) -> None:
        """Update /metrics, which vLLM does at the end of a step: there may be none after this."""
        if self._engine.logger_manager is not None:
            self._engine.logger_manager.record(
                scheduler_stats=self._core.scheduler.make_stats(), iteration_stats=None, mm_cache_stats=None
            )
