"""Computes the state at the last position of token sequences, one pack at a time.

Rule 1: one pack at a time on a device, in its own thread, first come first served. So memory is bounded by the pack, a
short query waits for one pack of a long job, not for the whole job, and the cores never work on two products at once.
Rule 2: a caller that is cancelled, or past its deadline, costs at most the pack in progress.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import chain
from typing import Final, TypeVar

import numpy as np
import torch

from winnow.retrieval.concurrency.fair_limiter import Turn
from winnow.retrieval.concurrency.tasks import gather_or_raise
from winnow.retrieval.errors import Overloaded, SettingInvalid
from winnow.retrieval.model.attention import Past
from winnow.retrieval.model.checkpoint import Checkpoint
from winnow.retrieval.model.config import QwenConfig
from winnow.retrieval.model.decoder import QwenDecoder
from winnow.retrieval.model.folder import ModelFolder
from winnow.retrieval.model.memory import ModelMemory
from winnow.retrieval.model.number_type import NumberType, parse_number_type
from winnow.retrieval.model.packing import Pack, make_packs
from winnow.retrieval.records import Vectors

_PACK_TOKENS_CPU: Final = 2_048  # tokens; more is not faster and no longer fits in the cache
_PACK_TOKENS_CUDA: Final = 16_384  # tokens; enough to be compute bound, 1 GB of activations for the 8B
_STRETCH_CPU: Final = 1.0  # a call of attention is cheap there, padding is not
_STRETCH_CUDA: Final = 1.25  # a launch costs more than the padding it saves

_Found = TypeVar("_Found")


class QwenRuntime:
    """One model in memory."""

    def __init__(
        self,
        config: QwenConfig,
        checkpoint: Checkpoint,
        *,
        device: torch.device,
        number_type: NumberType,
        pack_tokens: int | None = None,
        stretch_max: float | None = None,
    ) -> None:
        """`pack_tokens` and `stretch_max` (retrieval/model/packing.py) default to values that suit the device."""
        is_cuda = device.type == "cuda"
        self.config = config
        self.runs_on = f"{device} {number_type.name}"
        self._checkpoint = checkpoint
        self.pack_tokens = pack_tokens or (_PACK_TOKENS_CUDA if is_cuda else _PACK_TOKENS_CPU)
        self._stretch_max = stretch_max or (_STRETCH_CUDA if is_cuda else _STRETCH_CPU)
        self._worker = device_worker(str(device))
        try:
            self._decoder = QwenDecoder(config, checkpoint, device=device, number_type=number_type)
        except torch.OutOfMemoryError as error:
            raise SettingInvalid(f"{device} has too little memory for this model") from error

    @classmethod
    def load(cls, folder: ModelFolder, *, device: str | None = None, dtype: str | None = None) -> QwenRuntime:
        """Load the model: by default on CUDA in bfloat16 if available, else on the CPU in float32.

        Raises `ModelUnusable`, `SettingInvalid`.
        """
        target = parse_device(device)
        return cls(
            QwenConfig.read(folder.path),
            Checkpoint.open(folder.path),
            device=target,
            number_type=parse_number_type(dtype, target),
        )

    @property
    def memory(self) -> ModelMemory:
        return self._decoder.memory

    async def last_states(
        self, sequences: Sequence[Sequence[int]], prefix: Sequence[int] = (), *, turn: Turn | None = None
    ) -> Vectors:
        """(len(sequences), hidden): the normed state at the end of `prefix` + each sequence. No sequence may be empty.

        With `turn` each pack waits for its own turn, and all wait at once; without, packs run one by one. Raises
        `Overloaded` if the device runs out of memory.
        """
        states = np.empty((len(sequences), self.config.hidden), dtype=np.float32)
        one_by_one = asyncio.Lock()
        work_on = self._work(sequences, prefix)

        async def compute(pack: Pack, tokens: int) -> None:
            async with turn(tokens) if turn else one_by_one:
                states[list(pack.members)] = await self._in_turn(lambda: work_on(pack))

        lengths = [len(sequence) for sequence in sequences]
        found = make_packs(lengths, tokens_max=self.pack_tokens, stretch_max=self._stretch_max)
        await gather_or_raise(  # the first pack computes the prefix, too
            compute(pack, sum(pack.lengths) + (0 if place else len(prefix))) for place, pack in enumerate(found)
        )
        return states

    def head_difference(self, yes: int, no: int | None) -> Vectors:
        """(hidden,): the head's row for `yes` minus that for `no`, if any; its product with a state is the score."""
        return self._difference("embed_tokens.weight" if self.config.is_tied else "lm_head.weight", yes, no)

    def class_difference(self, yes: int, no: int | None) -> Vectors:
        """(hidden,): likewise, of a sequence classifier."""
        return self._difference("score.weight", yes, no)

    def _difference(self, name: str, yes: int, no: int | None) -> Vectors:
        row = self._checkpoint.row(name, yes).float()
        if no is not None:
            row = row - self._checkpoint.row(name, no).float()
        return np.asarray(row.numpy(), dtype=np.float32)

    def _work(self, sequences: Sequence[Sequence[int]], prefix: Sequence[int]) -> Callable[[Pack], Vectors]:
        """Return the work for the device's thread. The first pack also computes the prefix for all.

        As a separate piece of work, the prefix would wait for a pack of another caller, and the packs after it again.
        """
        past: list[Past] | None = None

        def work_on(pack: Pack) -> Vectors:
            nonlocal past
            if past is None:
                past = self._decoder.remember(prefix)
            ids = list(chain.from_iterable(sequences[member] for member in pack.members))
            return self._decoder.last_states(ids, pack, past)

        return work_on

    async def _in_turn(self, work: Callable[[], _Found]) -> _Found:
        def compute() -> _Found:
            with torch.inference_mode():
                return work()

        try:
            return await asyncio.get_running_loop().run_in_executor(self._worker, compute)
        except torch.OutOfMemoryError as error:
            raise Overloaded(f"not enough memory on {self.runs_on} for a pack of {self.pack_tokens} tokens") from error


@lru_cache
def device_worker(device: str) -> ThreadPoolExecutor:
    """The one thread that computes on a device, for all models there."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"winnow-{device}")


def parse_device(name: str | None) -> torch.device:
    """None is CUDA if available, else the CPU. Raises `SettingInvalid`."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SettingInvalid(f"device {name!r}: {error}") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SettingInvalid(f"device {name!r}: no usable CUDA device found")
    return device
