"""A wrong address is refused within seconds, in words; Ray itself would try for minutes."""

from __future__ import annotations

import socket

import pytest

from winnow.indexer.distributed.address import require_reachable
from winnow.retrieval.errors import EmbedderUnavailable, SettingInvalid


@pytest.mark.parametrize("address", ["head", "head:", ":6379", "head:0", "head:70000", "head:ray", ""])
def test_what_is_no_address_is_refused(address: str):
    with pytest.raises(SettingInvalid, match="use auto, or the head node's HOST:PORT"):
        require_reachable(address)


def test_ray_client_is_refused():
    with pytest.raises(SettingInvalid, match="Run this command on a node of the cluster"):
        require_reachable("ray://head:10001")


def test_a_port_where_nothing_listens_is_unavailable():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(EmbedderUnavailable, match=f"no Ray cluster can be reached at {address}"):
            require_reachable(address)
        taken.listen()
        require_reachable(address)
    require_reachable("auto")
