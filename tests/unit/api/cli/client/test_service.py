"""A command that asks a service fails as it does over a data folder: same sentence, same exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import winnow_client
from tests.unit.api.cli.client.conftest import KEY, Run
from winnow.api.cli.client.service import local_error
from winnow.api.http.problems import problem_of
from winnow.retrieval import errors

HEAVY = "{'torch', 'faiss', 'lance', 'numpy', 'pyarrow', 'sqlalchemy', 'fastapi', 'transformers'}"


@pytest.mark.parametrize(
    "kind", sorted(errors.leaves(), key=lambda each: each.__name__), ids=lambda each: each.__name__
)
@pytest.mark.parametrize("detail", ["", "what: it was"])
def test_an_error_of_a_service_is_the_local_one(kind: type[errors.WinnowError], detail: str) -> None:
    raised = kind(detail)
    problem = problem_of(raised)
    told = winnow_client.WinnowError(problem.message, code=problem.code, status=int(problem.status))
    found = local_error(told, "http://here")
    assert type(found) is kind
    assert found.message.startswith(raised.message.rstrip("."))
    assert found.message == raised.message or kind is errors.KeyRefused


def test_what_is_no_service_is_named(run: Run, url: str) -> None:
    dead = run("search", "x", "-c", "docs", "--url", "http://127.0.0.1:1", "--key", KEY)
    assert (dead.code, dead.out) == (1, "")
    assert "winnow: The service cannot be asked: http://127.0.0.1:1 does not answer" in dead.err
    wrong = run("search", "x", "-c", "docs", "--url", url, "--key", "wrong")
    assert (wrong.code, "--key" in wrong.err, "WINNOW_API_KEY" in wrong.err) == (2, True, True)
    odd = run("search", "x", "-c", "docs", "--url", "ftp://here")
    assert (odd.code, "--url = 'ftp://here': it must look like http://HOST:PORT" in odd.err) == (2, True)


def test_flags_that_a_service_cannot_follow_are_refused(run: Run, remote: Run, data: Path) -> None:
    """Each is named, with the reason; nothing is asked."""
    both = remote("search", "x", "-c", "docs", "--data", str(data))
    assert (both.code, "--data and --url cannot be used together" in both.err) == (2, True)
    device = remote("search", "x", "-c", "docs", "--device", "cpu")
    assert (device.code, "--device cannot be used with a service" in device.err) == (2, True)
    tenant = remote("search", "x", "-c", "docs", "--tenant", "other")
    assert (tenant.code, "the API key decides the tenant" in tenant.err) == (2, True)
    for words in (("verify",), ("snapshot", "to", "-c", "docs"), ("collections", "adopt")):
        alone = run(*words, "--url", "http://127.0.0.1:1")
        assert (alone.code, "works on a data folder" in alone.err) == (2, True), alone.err


def test_a_typed_data_folder_wins_over_the_variable(local: Run, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WINNOW_URL", "http://127.0.0.1:1")
    assert local("collections", "list").code == 0


def test_a_search_at_a_service_loads_nothing_heavy(url: str, remote: Run) -> None:
    """It starts as fast as an HTTP client does."""
    assert remote("collections", "list").code == 0
    words = ["winnow", "search", "x", "--collection", "nope", "--url", url, "--key", KEY]
    program = (
        f"import sys; sys.argv = {words}; import winnow.api.cli.main as m; print(m._exit_code())\n"
        f"print({HEAVY} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["2", "set()"]
    assert "Collection not found: nope" in done.stderr
