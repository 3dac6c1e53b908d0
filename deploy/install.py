"""Installs winnow and its client into the environment of the Python that runs this, with these extras.

    .venv/bin/python deploy/install.py cpu,dev

pip takes PyTorch's default wheels, which on Linux carry CUDA: gigabytes, also for a machine without a GPU. uv takes the
build that fits the machine. So uv installs where it is there, unless pip has been told where to find wheels; pip
installs otherwise, after it has been said what that draws.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass

CLIENT = "clients/python"
OWN_WHEELS = ("extra-index-url", "find-links", "no-index")  # settings of pip that name a place beside the index


@dataclass(frozen=True)
class Plan:
    """What is run, and what is said before."""

    command: tuple[str, ...]
    said: str


def plan(*, python: str, extras: str, uv: str | None, pip_settings: str, platform: str) -> Plan:
    """`uv` is its path, or None where it is not there; `pip_settings` is what `pip config list` prints."""
    client = ("--editable", CLIENT)  # in the same call: winnow-search needs it, and it may be on no index
    what = ("--quiet", "--constraint", "constraints.txt", *client, "--editable", f".[{extras}]")
    has_own_wheels = any(setting in pip_settings for setting in OWN_WHEELS)
    has_mirror = "index-url" in pip_settings  # which uv does not ask
    with_pip = (python, "-m", "pip", "--disable-pip-version-check", "install", *what)
    if has_own_wheels:
        return Plan(with_pip, "Installing with pip, from where it is set up to find packages.")
    if uv is not None and not has_mirror:
        return Plan(
            (uv, "pip", "install", "--python", python, "--torch-backend=auto", *what),
            "Installing with uv. PyTorch is about 200 MB where there is no GPU, with CUDA several GB where there is.",
        )
    if not platform.startswith("linux"):
        return Plan(with_pip, "Installing with pip. PyTorch is a few hundred MB.")
    return Plan(
        with_pip,
        "Installing with pip, which on Linux takes PyTorch with CUDA: several GB, with or without a GPU. Without a GPU "
        "stop this with Ctrl-C, run `pip install uv`, and start again: uv takes about 200 MB.",
    )


def main() -> None:
    """Runs the plan, and ends with its exit code."""
    pip_settings = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    chosen = plan(
        python=sys.executable,
        extras=sys.argv[1],
        uv=shutil.which("uv"),
        pip_settings=pip_settings,
        platform=sys.platform,
    )
    sys.stderr.write(f"{chosen.said}\n")
    sys.exit(subprocess.run(chosen.command, check=False).returncode)  # noqa: S603  as planned


if __name__ == "__main__":
    main()
