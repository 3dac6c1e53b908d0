"""`winnow index --engine ray` as a process, on a cluster that it starts itself."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from bench.indexing.interrupt import write_corpus
from tests.distributed.runs import finish, rows, start
from winnow.indexer.batches import WINDOW_DOCUMENTS

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.slow,
    pytest.mark.timeout(900),  # on a machine that is busy with other things
    pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed: pip install 'winnow-search[ray]'"),
]

DOCUMENTS = 5_000  # twenty windows


def test_a_collection_of_rays_workers_is_the_local_engines_to_the_bit(tmp_path: Path):
    """Documents, chunk numbers, spans, vectors and rejects; and the next run finds everything unchanged."""
    write_corpus(tmp_path / "corpus.jsonl", documents=DOCUMENTS)
    local = finish(start(tmp_path / "corpus.jsonl", tmp_path / "local"))
    remote = finish(start(tmp_path / "corpus.jsonl", tmp_path / "remote", "--engine", "ray", "--workers", "2"))
    assert rows(tmp_path / "remote") == rows(tmp_path / "local")
    for name in ("read", "added", "rejected", "documents", "chunks", "tokens", "truncated", "first_rejects"):
        assert remote.report[name] == local.report[name]
    assert local.report["engine"] is None
    engine = remote.report["engine"]
    assert (engine["name"], engine["address"], engine["windows_sent_again"]) == ("ray", None, 0)
    assert sum(each["windows"] for each in engine["workers"]) == -(-DOCUMENTS // WINDOW_DOCUMENTS)
    assert "Ray: starting 2 workers" in remote.complaints
    resumed = finish(start(tmp_path / "corpus.jsonl", tmp_path / "remote"))
    assert (resumed.report["unchanged"], resumed.report["chunks_written"]) == (DOCUMENTS, 0)
