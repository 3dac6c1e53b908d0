"""Runs our front of vLLM with another switch interval of Python's threads. vLLM's Python runs this file by its path.

    python3 bench/gpu/switched_front.py SECONDS PATH-OF-server.py FLAGS ...

Only to measure: the front's preparing thread and the launching of kernels share one interpreter lock.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path


def main() -> None:
    seconds, program = float(sys.argv[1]), Path(sys.argv[2])
    sys.setswitchinterval(seconds)
    sys.argv[:] = [str(program), *sys.argv[3:]]
    sys.path[0] = str(program.parent)  # as if it ran by itself
    runpy.run_path(str(program), run_name="__main__")


if __name__ == "__main__":
    main()
