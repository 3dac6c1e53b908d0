"""Tries every Python client against real services, and writes what came of it: results/python.json, and the page.

    python -m tests.clients.run [--only PROGRAM ...] [--install]

The clients live in the environments that `python -m tests.clients.environment` makes; --install makes those that are
missing. With --only, the rows of the other programs stay as they are. Exits with 1 where a program did not end well.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.clients import environment
from tests.clients.cases import RESULTS, Row, read_rows, write_rows
from tests.clients.observations import Case, Observation, Target, is_well_formed, row_of
from tests.clients.page import write_page
from tests.clients.services import services

PROGRAMS: Final = Path(__file__).with_name("programs")
SECONDS_MAX: Final = 300  # of one program
VARIABLES: Final = (  # keep clients from asking the network for what they do not need here
    "HF_HUB_OFFLINE=1",
    "LITELLM_LOCAL_MODEL_COST_MAP=True",
    "HAYSTACK_TELEMETRY_ENABLED=False",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A client, the program that tries it, and the environment that has it."""

    client: str  # the package's name in its registry
    program: str
    group: str

    @property
    def command(self) -> tuple[str, ...]:
        return ("env", *VARIABLES, str(environment.python_of(self.group)), str(PROGRAMS / f"{self.program}.py"))


def _tried(client: str, program: str, group: str) -> Tried:
    return Tried(client=client, program=program, group=group)


TRIED: Final = (
    _tried("cohere", "with_cohere", "apis"),
    _tried("cohere", "with_cohere", "langchain"),  # version 5
    _tried("voyageai", "with_voyageai", "apis"),
    _tried("openai", "with_openai", "apis"),
    _tried("litellm", "with_litellm", "litellm"),
    _tried("infinity-client", "with_infinity", "apis"),
    _tried("langchain-cohere", "with_langchain_cohere", "langchain"),
    _tried("langchain-voyageai", "with_langchain_voyageai", "langchain"),
    _tried("langchain-openai", "with_langchain_openai", "langchain"),
    _tried("langchain-community", "with_langchain_infinity", "langchain"),
    _tried("langchain-mcp-adapters", "with_langchain_mcp", "langchain"),
    _tried("llama-index-postprocessor-cohere-rerank", "with_llama_index_cohere", "llama-index"),
    _tried("llama-index-postprocessor-jinaai-rerank", "with_llama_index_jina", "llama-index"),
    _tried("llama-index-postprocessor-tei-rerank", "with_llama_index_tei", "llama-index"),
    _tried("llama-index-embeddings-openai-like", "with_llama_index_openai", "llama-index"),
    _tried("cohere-haystack", "with_haystack_cohere", "haystack"),
    _tried("jina-haystack", "with_haystack_jina", "haystack"),
    _tried("huggingface-api-haystack", "with_haystack_tei", "haystack"),
    _tried("mcp", "with_mcp", "mcp"),
    _tried("mteb", "with_mteb", "mteb"),
    _tried("dify-plugin", "with_dify", "dify"),
)


def observe(tried: Tried, target: Path) -> list[Observation]:
    """Run a program. Raises RuntimeError where it fails or prints anything else than observations."""
    try:
        done = subprocess.run(
            [*tried.command, str(target)], stdout=subprocess.PIPE, timeout=SECONDS_MAX, text=True, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{tried.program} did not end in {SECONDS_MAX} s") from error
    if done.returncode != 0:
        raise RuntimeError(f"{tried.program} ended with exit code {done.returncode}")
    observations: list[Observation] = [json.loads(line) for line in done.stdout.splitlines()]
    malformed = [each for each in observations if not is_well_formed(each)]
    if malformed or not observations:
        raise RuntimeError(f"{tried.program} printed no observations, or malformed ones: {malformed}")
    return observations


def rows_of(tried: Tried, observations: Iterable[Observation]) -> list[Row]:
    """Judge the observations of a program, each route by its own success."""
    kept = list(observations)
    successes = {each["route"]: each for each in kept if each["case"] == Case.SUCCESS}
    return [row_of(tried.client, each, successes[each["route"]]) for each in kept]


def run(chosen: Sequence[Tried], target: Target, folder: Path) -> tuple[list[Row], list[str]]:
    """Return the rows, and what failed."""
    path = folder / "target.json"
    path.write_text(json.dumps(target, ensure_ascii=False), encoding="utf-8")
    rows: list[Row] = []
    failures: list[str] = []
    for each in chosen:
        try:
            found = rows_of(each, observe(each, path))
        except RuntimeError as error:
            failures.append(str(error))
            continue
        rows += found
        refused = [f"{row.route} {row.case}" for row in found if row.outcome == "refused"]
        print(f"{each.client} {found[0].version}: {len(found)} cases, refused: {', '.join(refused) or 'none'}")
    return rows, failures


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Try every Python client against real services.")
    parser.add_argument("--only", nargs="+", default=[each.program for each in TRIED], help="names of programs")
    parser.add_argument("--install", action="store_true", help="install the clients that are missing")
    asked = parser.parse_args(arguments)
    chosen = [each for each in TRIED if each.program in asked.only]
    failures = []
    for group in dict.fromkeys(each.group for each in chosen):
        reason = environment.make(group) if asked.install else None
        failures += [] if reason is None else [reason]
    ready = [each for each in chosen if environment.is_made(each.group)]
    failures += [f"{each.program}: {each.group} is not installed" for each in chosen if each not in ready]
    with tempfile.TemporaryDirectory() as folder, services(Path(folder)) as target:
        rows, failed = run(ready, target, Path(folder))
    replaced = {(row.client, row.version.partition(".")[0]) for row in rows}
    others = [row for row in read_rows() if (row.client, row.version.partition(".")[0]) not in replaced]
    write_rows("python", [*rows, *(row for row in others if row.language == "python")], folder=RESULTS)
    write_page()
    for reason in failures + failed:
        print(reason, file=sys.stderr)
    return 1 if failures or failed else 0


if __name__ == "__main__":
    sys.exit(main())
