"""Installs the Python clients whose compatibility is tried: each group into an environment of its own in .clients.

    python -m tests.clients.environment [GROUP ...]

Several environments, because the clients exclude each other: langchain-cohere needs cohere 5, and cohere 7 is current.
Versions are the newest that pip finds; the page names those that were tried. Nothing of them is part of winnow. An
environment that this very list made is left as it is; delete .clients to install the newest again.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = PROJECT / ".clients"
SECONDS_MAX: Final = 1_200  # of one installation
REQUIREMENTS: Final[dict[str, tuple[str, ...]]] = {
    "apis": ("cohere>=7", "infinity-client", "openai", "voyageai"),
    "langchain": (
        "infinity-client",
        "langchain-cohere",
        "langchain-community",
        "langchain-mcp-adapters",
        "langchain-openai",
        "langchain-voyageai",
    ),
    "litellm": ("litellm",),
    "llama-index": (
        "llama-index-embeddings-openai-like",
        "llama-index-postprocessor-cohere-rerank",
        "llama-index-postprocessor-jinaai-rerank",
        "llama-index-postprocessor-tei-rerank",
    ),
    "haystack": ("cohere-haystack", "huggingface-api-haystack", "jina-haystack"),
    "dify": ("dify-plugin",),
    "mteb": ("mteb", "openai", "torch==2.13.0"),  # the version of which pip may know a build without CUDA
    "mcp": ("mcp>=2",),
}


def python_of(group: str) -> Path:
    """Return the interpreter of a group's environment."""
    return FOLDER / group / "bin" / "python"


def is_made(group: str) -> bool:
    stamp = FOLDER / group / "made-of"
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == _text_of(group)


def make(group: str) -> str | None:
    """Install a group unless it is there. Return what failed, or None."""
    if is_made(group):
        return None
    folder = FOLDER / group
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    pip = [str(python_of(group)), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    try:
        done = subprocess.run([*pip, *REQUIREMENTS[group]], stdout=sys.stderr, timeout=SECONDS_MAX, check=False)
    except subprocess.TimeoutExpired:
        return f"The installation of {group} did not end in {SECONDS_MAX} s."
    if done.returncode != 0:
        return f"pip could not install {', '.join(REQUIREMENTS[group])}."
    (folder / "made-of").write_text(_text_of(group), encoding="utf-8")
    return None


def _text_of(group: str) -> str:
    return "\n".join((sys.version, *REQUIREMENTS[group]))


def main() -> int:
    failures = [reason for group in sys.argv[1:] or REQUIREMENTS if (reason := make(group)) is not None]
    for reason in failures:
        print(f"Clients: {reason}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
