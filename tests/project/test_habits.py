"""What a newcomer follows is true: the Makefile's help, CONTRIBUTING.md, the hooks, the container, the workflows."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.campaign import CAMPAIGNS, Campaign, outcome_of

PROJECT = Path(__file__).resolve().parents[2]
MAKEFILE = (PROJECT / "Makefile").read_text(encoding="utf-8")
TARGETS = re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE)
WORKFLOWS = sorted((PROJECT / ".github" / "workflows").glob("*.yml"))


def read_yaml(path: str) -> Any:
    return yaml.safe_load((PROJECT / path).read_text(encoding="utf-8"))


def make(*arguments: str) -> str:
    done = subprocess.run(
        ["make", "--no-print-directory", *arguments], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_every_target_has_its_line_in_the_help():
    """And each is a name, not a file."""
    lines = dict(line.split(maxsplit=1) for line in make("help").splitlines())
    assert list(lines) == TARGETS
    assert set(" ".join(re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)).split()) == set(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_can_be_planned(target: str, tmp_path: Path):
    """On a machine that has nothing yet."""
    assert make("--dry-run", target, f"VENV={tmp_path / 'venv'}")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_containers_command_makes_an_environment(tmp_path: Path):
    """It runs in a copy of the tree. The libraries are those of this environment: pip finds each there, and no network.

    The command before it installs strace and uv, from the network and as root, and is not run here.
    """
    container = json.loads((PROJECT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    assert "strace" in container["onCreateCommand"]
    for part in ("winnow", "api", "indexer", "rerank", "retrieval", "deploy", "data/instructions", "clients/python"):
        shutil.copytree(
            PROJECT / part, tmp_path / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
    for part in ("pyproject.toml", "constraints.txt", "README.md", "LICENSE", "Makefile"):
        shutil.copy(PROJECT / part, tmp_path)
    (tmp_path / "data" / "models").mkdir()
    libraries = os.pathsep.join(each for each in sys.path if Path(each).name == "site-packages")
    without_network = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"}  # pip reads 0 as: no isolation
    variables = {**os.environ, **without_network, "PYTHONPATH": libraries, "PYTHON": sys.executable}  # noqa: TID251
    done = subprocess.run(
        container["postCreateCommand"].split(), cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    interpreter = container["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"]
    assert Path(interpreter.replace("${containerWorkspaceFolder}", str(tmp_path))).is_file()
    assert (tmp_path / ".venv" / "bin" / "winnow").is_file()
    (installed,) = (tmp_path / ".venv").glob("lib/python3*/site-packages/winnow_search-*.dist-info/direct_url.json")
    assert json.loads(installed.read_text(encoding="utf-8"))["url"] == tmp_path.as_uri()


def test_a_commit_is_checked_by_the_projects_own_tools():
    """Nothing is fetched, and no tool runs that `make check` does not."""
    hooks = read_yaml(".pre-commit-config.yaml")["repos"]
    assert [each["repo"] for each in hooks] == ["local"]
    tools = [each["entry"].removeprefix(".venv/bin/").split()[:2] for each in hooks[0]["hooks"]]
    check = make("--dry-run", "check", "VENV=.venv")
    for tool in tools:
        words = tool if tool[0] == "ruff" else tool[:1]
        assert f".venv/bin/{' '.join(words)}" in check
    assert len(tools) == len([line for line in check.splitlines() if re.match(r"\.venv/bin/(ruff|mypy|lint)", line)])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_the_gate_and_pins_what_it_uses(path: Path):
    """To a commit, with the release in a comment; the one exception is explained where it stands."""
    text = path.read_text(encoding="utf-8")
    steps = [step for job in yaml.safe_load(text)["jobs"].values() for step in job["steps"]]
    assert ".ci/run" in [step.get("run") for step in steps]
    for used in re.findall(r"uses: (.+)", text):
        assert (
            re.fullmatch(r"[\w./-]+@[0-9a-f]{40}  # v[\d.]+", used) or used == "pypa/gh-action-pypi-publish@release/v1"
        )


def test_a_release_builds_what_make_builds():
    """Wheel and source archive by `make dist`, which compares the tag; the image by the Dockerfile."""
    runs = "\n".join(
        step.get("run", "")
        for job in read_yaml(".github/workflows/release.yml")["jobs"].values()
        for step in job["steps"]
    )
    for command in ('make dist TAG="${GITHUB_REF_NAME}"', "docker build", "docker push"):
        assert command in runs
    assert "deploy/distribution.py" in make("--dry-run", "dist", "TAG=v1")


@pytest.mark.parametrize(
    "page", ["CONTRIBUTING.md", "docs/explanation/versioning.md", ".github/pull_request_template.md"]
)
def test_every_path_that_is_named_exists(page: str):
    """Files to touch, and links. NAME stands for what is to be made."""
    text = (PROJECT / page).read_text(encoding="utf-8")
    named = re.findall(r"`([\w.-]+/[\w./-]*)`", text) + re.findall(r"`([\w-]+\.(?:md|toml|txt))`", text)
    assert named or page.startswith(".github")
    missing = [path for path in named if "NAME" not in path and not (PROJECT / path).exists()]
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    missing += [link for link in links if not (PROJECT / page).parent.joinpath(link).exists()]
    assert missing == []


def test_every_make_command_that_contributors_read_is_a_target():
    text = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\bmake ([a-z]+)", text)) <= {*TARGETS, "system"}


@pytest.mark.parametrize("campaign", CAMPAIGNS, ids=lambda campaign: campaign.name)
def test_every_campaign_can_be_started(campaign: Campaign):
    """Its module is there, and knows the options."""
    if campaign.module == "pytest":
        assert (PROJECT / campaign.arguments[0]).is_file()
        return
    place = PROJECT / campaign.module.replace(".", "/")
    file = place / "__main__.py" if place.is_dir() else place.with_suffix(".py")
    text = file.read_text(encoding="utf-8")
    for option in (each for each in campaign.arguments if each.startswith("--")):
        assert f'"{option}"' in text
    assert 1 <= campaign.minutes <= 120


def test_unit_tests_lie_where_the_modules_lie():
    """tests/unit has no folder that the project's root has not."""
    unit = PROJECT / "tests" / "unit"
    folders = {file.parent.relative_to(unit) for file in unit.rglob("test_*.py")}
    assert {str(each) for each in folders if not (PROJECT / each).is_dir()} == set()
    assert len(folders) > 20


@pytest.mark.parametrize(
    ("program", "seconds", "outcome"),
    [
        ("pass", 30.0, "passed"),
        ("raise SystemExit(3)", 30.0, "failed"),
        ("import time; time.sleep(60)", 0.5, "ended after"),
    ],
)
def test_a_campaign_is_bounded_and_its_end_is_told(program: str, seconds: float, outcome: str, tmp_path: Path):
    """timeit is the module here, and runs a program once."""
    campaign = Campaign(name="one", module="timeit", arguments=("-n", "1", "-r", "1", program), minutes=1)
    log = tmp_path / "log"
    assert outcome_of(campaign, log, seconds=seconds).startswith(outcome)
    assert log.exists()
