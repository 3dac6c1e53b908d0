"""The process that parses: takes tasks from stdin, answers with outcomes on stdout, one after the other.

It starts with nothing of its parent: an empty environment, no inherited files, a session of its own. It takes its
limits upon itself, gives up what it does not need (`confine`), and only then reads its first task.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

from winnow.indexer.corpus import Refused
from winnow.indexer.sandbox.confine import confine
from winnow.indexer.sandbox.frames import HEADER, Malformed, decode_task, encode_outcome
from winnow.indexer.sandbox.limits import ParseLimits, limit_process, renew_seconds
from winnow.indexer.sandbox.outcomes import Ended, Outcome, Task
from winnow.retrieval.records import Document

READY: Final = b"winnow\n"  # written once, before the first outcome
OUT_OF_MEMORY_CODE: Final = 3  # exit code

Parse = Callable[[Task], Iterator[Outcome]]


def serve(entry: str, limits: ParseLimits, scratch: str) -> None:
    """Parse until stdin ends. `entry` is `module:function`; `scratch` is the folder for temporary files."""
    tasks, answers = _private_streams()
    module, _, function = entry.partition(":")
    parse: Parse = getattr(importlib.import_module(module), function)
    limit_process(limits)
    confine(scratch)
    answers.write(READY)
    answers.flush()
    while len(header := tasks.read(HEADER.size)) == HEADER.size:
        task = decode_task(tasks.read(HEADER.unpack(header)[0]))
        renew_seconds(limits)
        _answer(parse, task, limits, answers)


def _answer(parse: Parse, task: Task, limits: ParseLimits, answers: BinaryIO) -> None:
    ended = Ended()
    try:
        for outcome in parse(task):
            if isinstance(outcome, Ended):
                ended = outcome
                break
            answers.write(_encode(outcome, task.name))
            answers.flush()
            if isinstance(outcome, Document | Refused):
                renew_seconds(limits)
    except MemoryError:
        answers.flush()
        os._exit(OUT_OF_MEMORY_CODE)  # what the heap holds now is unknown; the parent starts another process
    except OSError as error:
        ended = Ended(reason=f"cannot be read: {error.strerror or type(error).__name__}")
    except Exception as error:  # noqa: BLE001  a hostile file must not end the run
        ended = Ended(reason=f"it is damaged or unusual: parsing failed with {type(error).__name__}")
    answers.write(encode_outcome(ended))
    answers.flush()


def _encode(outcome: Outcome, name: str) -> bytes:
    try:
        return encode_outcome(outcome)
    except Malformed as error:
        return encode_outcome(Refused(reason=str(error), id=getattr(outcome, "id", name)))
    except (TypeError, ValueError) as error:  # of orjson
        return encode_outcome(Refused(reason=f"the metadata is not JSON: {error}", id=getattr(outcome, "id", name)))


def _private_streams() -> tuple[BinaryIO, BinaryIO]:
    """Move stdin and stdout away: a library that prints or asks must not disturb the frames."""
    tasks, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)
    return tasks, answers


def main(arguments: list[str]) -> None:
    entry, seconds, memory_mb, scratch = arguments
    serve(entry, ParseLimits(seconds=int(seconds), memory_mb=int(memory_mb)), scratch)


if __name__ == "__main__":
    main(sys.argv[1:])
