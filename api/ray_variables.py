"""The variables that Ray reads when it is imported."""

from __future__ import annotations

from collections.abc import MutableMapping


def set_ray_variables(environment: MutableMapping[str, str], *, own_cluster: bool) -> None:
    """Workers use the Python of their node as it is, and a cluster of our own listens on the loopback interface only.

    Ray has no argument for either: it replaces 127.0.0.1 by the machine's address unless its clusters are switched off.
    """
    environment["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
    if own_cluster:
        environment["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
