"""Ways to run our front that a benchmark compares: what may relieve the host while the GPU waits for it.

    blocks       shares whole blocks of a prefix, as vLLM does
    serial       launches a step only when the last one is done
    graphsNNN    captures steps of at most NNN tokens as CUDA graphs; 0: those that vLLM captures
    switchNNN    lets Python's threads switch every NNN microseconds; 5,000 is Python's default

Not among them: preparing requests in a process of its own. Preparing takes 7.6 ms of CPU for 100 inputs of 216 tokens
and 12.4 ms for 100 of 600 (AMD EPYC, vLLM 0.32), of which a process of its own could save a part.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

SWITCHED: Final = Path(__file__).with_name("switched_front.py")
BLOCKS: Final = "blocks"
SERIAL: Final = "serial"
GRAPHS: Final = "graphs"
SWITCH: Final = "switch"


def flags_of(variants: Sequence[str]) -> list[str]:
    """Flags of the front for these variants."""
    flags = ["--shared-prefix", BLOCKS] if BLOCKS in variants else []
    flags += ["--no-overlap-steps"] if SERIAL in variants else []
    graphs = [each.removeprefix(GRAPHS) for each in variants if each.startswith(GRAPHS)]
    flags += ["--graph-tokens", graphs[0]] if graphs else []
    return flags


def launcher_of(variants: Sequence[str]) -> list[str]:
    """What runs the front's file, before its path; empty where Python does."""
    found = [each.removeprefix(SWITCH) for each in variants if each.startswith(SWITCH)]
    return [str(SWITCHED), str(int(found[0]) / 1e6)] if found else []
