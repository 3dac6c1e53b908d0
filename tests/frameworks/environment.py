"""Makes an environment with LangChain, LlamaIndex, Haystack and mteb in a folder, and prints the path of its python.

    python -m tests.frameworks.environment .frameworks

They have their own mind about versions, and are no part of winnow. The versions are those of constraints.txt, which
were tried together. An environment that was made from the same files is left as it is. Torch goes first: pip takes the
CPU build where its index is known to it, and gigabytes of CUDA where it is not.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parents[2]
CONSTRAINTS: Final = Path(__file__).with_name("constraints.txt")
CLIENT: Final = PROJECT / "clients" / "python"
TORCH: Final = "torch==2.13.0"  # mteb needs it
REQUIREMENTS: Final = (
    "--editable",
    f"{CLIENT}[langchain,llama-index,haystack,mteb]",
    "langchain-openai",  # the examples ask chat models with these
    "llama-index-llms-openai-like",
    "pytest",
    "pytest-asyncio",
)


def made_by() -> str:
    """Return a digest of everything that can change the environment."""
    sources = (Path(__file__), CONSTRAINTS, CLIENT / "pyproject.toml")
    return hashlib.sha256(b"".join(each.read_bytes() for each in sources) + sys.version.encode()).hexdigest()


def make(folder: Path) -> None:
    """Make it from nothing. Raises `CalledProcessError`."""
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    install = (str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    for some in ((TORCH,), REQUIREMENTS):
        subprocess.run([*install, "--constraint", str(CONSTRAINTS), *some], check=True, stdout=sys.stderr)


def ready(folder: Path) -> str:
    """Return the environment's python; makes the environment where it is missing or older."""
    stamp = folder / "made-by"
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != made_by():
        print(f"Making an environment with LangChain, LlamaIndex, Haystack and mteb in {folder}.", file=sys.stderr)
        make(folder)
        stamp.write_text(made_by(), encoding="utf-8")
    return str(folder / "bin" / "python")


if __name__ == "__main__":
    print(ready(Path(sys.argv[1]).resolve()))
