"""The options of `winnow index --engine ray`: what goes together, what is missing, and what travels to workers."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny_models import write_embedder
from tests.unit.api.cli.test_index import Indexes
from winnow.api.cli.indexing.engine import Engine, choose_ray, worker_settings
from winnow.api.ray_variables import set_ray_variables
from winnow.api.settings import Settings
from winnow.indexer.distributed.plan import NodeRoom, plan_workers
from winnow.retrieval.errors import EmbedderUnavailable, InvalidRequest, SettingInvalid

PLAN = plan_workers([NodeRoom(cpus=2, gpus=0)], wanted=2, device=None)


@pytest.fixture
def index(tmp_path: Path) -> Indexes:
    (tmp_path / "a.jsonl").write_text('{"id": "a", "text": "t"}\n', encoding="utf-8")
    return Indexes(tmp_path / "data", write_embedder(tmp_path / "embedder"))


@pytest.mark.parametrize(("flag", "value"), [("--ray-address", "auto"), ("--workers", "2")])
def test_options_of_ray_need_the_engine(index: Indexes, tmp_path: Path, flag: str, value: str):
    """They would do nothing otherwise."""
    with pytest.raises(InvalidRequest, match=f"{flag} needs --engine ray"):
        index(tmp_path / "a.jsonl", flag, value)


def test_a_service_embeds_by_itself():
    with pytest.raises(InvalidRequest, match="cannot be used with a service"):
        choose_ray(Engine.RAY, address=None, workers=None, settings=Settings(url="http://localhost:8000"))


def test_without_ray_the_command_says_what_to_install(index: Indexes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """No collection is made."""
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "winnow.indexer.distributed.ray_workers", raising=False)
    with pytest.raises(SettingInvalid, match=r"pip install 'winnow-search\[ray\]'"):
        index(tmp_path / "a.jsonl", "--engine", "ray")
    assert not list((tmp_path / "data").rglob("corpus*"))


def test_an_address_where_no_cluster_is_ends_the_command(index: Indexes, tmp_path: Path):
    """Within seconds; what to do next is the message of every run that can be resumed."""
    pytest.importorskip("ray", reason="ray is not installed: pip install 'winnow-search[ray]'")
    with pytest.raises(EmbedderUnavailable, match=r"no Ray cluster can be reached at 127\.0\.0\.1:1"):
        index(tmp_path / "a.jsonl", "--engine", "ray", "--ray-address", "127.0.0.1:1")


def test_no_secret_travels_to_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Neither keys nor the database; a model's folder is named so that other working directories find it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    mine = Settings(
        embed_model="model",
        embed_dimension=32,
        dtype="float32",
        api_key="secret-key",
        catalog_url="postgresql://u:pw@h/d",
    )
    theirs = pickle.loads(pickle.dumps(worker_settings(mine, PLAN)))  # noqa: S301  made a moment ago
    assert (theirs.api_key, theirs.catalog_url) == (None, None)
    assert (theirs.embed_model, theirs.embed_dimension) == (str(tmp_path / "model"), 32)
    assert (theirs.dtype, theirs.device) == ("float32", "cpu")


def test_a_cluster_of_our_own_is_on_loopback_and_another_is_left_as_it_is():
    own, other = dict[str, str](), dict[str, str]()
    set_ray_variables(own, own_cluster=True)
    set_ray_variables(other, own_cluster=False)
    assert own == {
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_prestart_worker_first_driver": "0",
    }
    assert other == {"RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}


def test_a_command_whose_workers_compute_does_not_import_torch():
    """Which takes over a second of CPU; `winnow serve` before model servers is spared it likewise."""
    imports = "import sys, winnow.api.cli.indexing.run, winnow.api.http.app; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", imports], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
