"""Two services behind nginx, each ended once under load; `python -m tests.faults.replicas` does much more of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.replicas.load import Load, make_collections
from tests.faults.replicas.proxies import balanced, why_not
from tests.faults.replicas.rounds import losses, rounds
from tests.faults.replicas.services import Place, replicas
from tests.postgres import PostgresServer

pytestmark = [
    pytest.mark.faults,
    pytest.mark.slow,
    pytest.mark.timeout(600),  # on a machine that is busy with other things
    pytest.mark.skipif(why_not("nginx") is not None, reason=str(why_not("nginx"))),
]


def test_clients_do_not_notice_that_services_end(tmp_path: Path, postgres: PostgresServer) -> None:
    """One by SIGTERM, one by SIGKILL: no failed request, no lost write, no read older than a second."""
    place = Place(data=str(tmp_path / "data"), catalog_url=postgres.new())
    with replicas(tmp_path, place, count=2) as services:
        make_collections(services[0].url)
        with balanced(tmp_path, services) as address:
            load = Load(address)
            wrong = [*rounds(load, services, count=2, seed=1), *losses(load, services)]
    assert wrong == []
    assert set(load.answered) >= {"write", "search", "get"}
