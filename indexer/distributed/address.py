"""Addresses of Ray clusters, checked before Ray sees them: Ray tries for minutes to reach what is not there."""

from __future__ import annotations

import socket
from typing import Final

from winnow.retrieval.errors import EmbedderUnavailable, SettingInvalid

AUTO: Final = "auto"  # the cluster of which this machine is a node
CLIENT: Final = "ray://"
REACH_SECONDS: Final = 5.0  # for a TCP connection to the head node


def require_reachable(address: str) -> None:
    """Raise `SettingInvalid` for what is no address, and `EmbedderUnavailable` if nothing listens there."""
    if address == AUTO:
        return
    if address.startswith(CLIENT):
        raise SettingInvalid(
            f"--ray-address {address}: Ray Client is not supported. Run this command on a node of the cluster, with "
            f"--ray-address {AUTO} or the head node's HOST:PORT"
        )
    host, _, port = address.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal()) or not 0 < int(port) < 65_536:
        raise SettingInvalid(f"--ray-address {address}: use {AUTO}, or the head node's HOST:PORT such as 10.0.0.5:6379")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_SECONDS).close()
    except OSError as error:
        raise EmbedderUnavailable(f"no Ray cluster can be reached at {address}: {error}") from error
