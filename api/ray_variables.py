"""The variables that Ray reads when it is imported."""

from __future__ import annotations

from collections.abc import MutableMapping


def set_ray_variables(environment: MutableMapping[str, str], *, own_cluster: bool) -> None:
    """Workers use the Python of their node as it is. A cluster of our own listens on the loopback interface only.

    It starts no idle processes either: Ray starts one per CPU in advance, and none of them can become a worker of ours.
    Ray has no arguments for this: it replaces 127.0.0.1 by the machine's address unless its clusters are switched off.
    """
    environment["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
    if own_cluster:
        environment["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        environment["RAY_prestart_worker_first_driver"] = "0"
