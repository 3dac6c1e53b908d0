"""`winnow search` and `winnow serve` import what they need, so that they start soon."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # on a machine that is busy with other things

NEVER_NEEDED = {  # by a search with the bundled models in a folder
    "alembic",  # the schema is the newest
    "boto3",
    "charset_normalizer",
    "gradio",
    "lxml",
    "markdown_it",
    "mcp",
    "opentelemetry.sdk",
    "pandas",
    "pathspec",
    "psycopg",
    "ray",
    "sentence_transformers",
    "torch._dynamo",
    "transformers",
    "winnow.indexer.readers.folder",
    "winnow.indexer.sandbox",
    "yaml",
}
OF_A_SERVER = {"fastapi", "prometheus_client", "starlette", "uvicorn", "winnow.api.assemble", "winnow.api.http"}
LATER = {"winnow.api.http.routes.collections", "winnow.api.http.routes.compat", "winnow.api.http.routes.routers"}

SEARCHING = """
import atexit, json, sys
atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))
from winnow.api.cli.main import main
sys.argv = ["winnow", "search", "how long may I return it", "--collection", "docs", "--data", {data!r}, "--json"]
main()
"""
SERVING = """
import http.client, json, os, signal, sys, threading, time
from winnow.api.cli import serve

bound, bind = threading.Event(), serve._bind
port = 0

def binding(settings):
    global port
    found = bind(settings)
    port = found.getsockname()[1]
    from winnow.api.http.routes import late
    late.AFTER_SECONDS = 3_600.0
    bound.set()
    return found

serve._bind = binding

def ask(method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.request(method, path, body, {{"content-type": "application/json"}} if body else {{}})
    answer = connection.getresponse()
    answer.read()
    return answer.status

def look():
    bound.wait()
    while True:
        try:
            ready = ask("GET", "/readyz")
            break
        except OSError:  # it does not listen yet
            time.sleep(0.05)
    found = ask("POST", "/v1/search", '{{"query": "how long may I return it", "collection": "docs"}}')
    modules = sorted(sys.modules)
    also = ask("GET", "/v1/collections")
    print(json.dumps([ready, found, also, modules]), flush=True)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=look, daemon=True).start()
from winnow.api.cli.main import main
sys.argv = ["winnow", "serve", "--port", "0", "--data", {data!r}]
main()
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A data folder with one document."""
    folder = tmp_path_factory.mktemp("left-out")
    corpus = folder / "corpus.jsonl"
    corpus.write_text('{"id": "refunds", "text": "Return it within fourteen days."}\n', "utf-8")
    command = [sys.executable, "-m", "winnow.api.cli", "index", str(corpus), "--collection", "docs"]
    subprocess.run([*command, "--data", str(folder / "data"), "--json"], check=True, capture_output=True)
    return str(folder / "data")


def run(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=folder)


def test_a_search_imports_no_part_of_the_server(data: str, tmp_path: Path) -> None:
    done = run(SEARCHING.format(data=data), tmp_path)
    assert json.loads(done.stdout)["results"][0]["document_id"] == "refunds"
    imported = set(json.loads(done.stderr.splitlines()[-1]))
    assert {"torch", "lance", "winnow.api.search.two_stage"} <= imported  # it did search
    assert (NEVER_NEEDED | OF_A_SERVER) & imported == set()


def test_a_ready_service_has_imported_only_what_a_search_needs(data: str, tmp_path: Path) -> None:
    """The other routes answer, too, and are then imported."""
    done = run(SERVING.format(data=data), tmp_path)
    ready, found, also, modules = json.loads(done.stdout.splitlines()[-1])
    assert (ready, found, also) == (200, 200, 200)
    assert OF_A_SERVER - set(modules) == set()
    assert (NEVER_NEEDED | LATER) & set(modules) == set()
