"""Replaces services of an earlier release by this one, one after the other, behind nginx or HAProxy and under load.

    python -m tests.faults.replicas.rolling --old COMMIT [--proxy haproxy] [--place bucket]

The services of the earlier commit make the collections and serve first. Then the catalog is upgraded by this tree, as
docs/how-to/replicas.md asks, and each service gets SIGTERM and is started again out of this tree. Before, between and
after, no request may fail, nothing acknowledged may be lost, and no read may be older than a second. The embedder of
both must be the same. Needs git with that commit. Exits with 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from tests.faults.replicas.load import Load, make_collections
from tests.faults.replicas.places import PLACES, place_at
from tests.faults.replicas.proxies import PROXIES, balanced, why_not
from tests.faults.replicas.rounds import losses
from tests.faults.replicas.services import PROJECT, Replica, replicas
from tests.faults.replicas.verdict import exit_code
from tests.postgres import running
from winnow.retrieval.catalog.sql.database import SqlDatabase

OLD: Final = "4df29fc"  # its catalog is at 0021
BETWEEN_SECONDS: Final = 3.0  # with both releases under load, after each replacement


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", default=OLD, help="the commit of the earlier release")
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--proxy", choices=PROXIES, default="nginx")
    parser.add_argument("--place", choices=PLACES, default="folder")
    asked = parser.parse_args(arguments)
    if (missing := why_not(asked.proxy)) is not None:
        print(missing)
        return 1
    return exit_code("rolling", lambda folder: _wrong(folder, asked))


def _wrong(folder: Path, asked: argparse.Namespace) -> Iterator[str]:
    with (
        earlier(asked.old, folder / "old") as tree,
        running() as server,
        place_at(asked.place, folder, server) as place,
        replicas(folder, place, count=asked.replicas, tree=tree) as services,
    ):
        make_collections(services[0].url)
        with balanced(folder, services, proxy=asked.proxy) as address:
            load = Load(address)
            yield from replaced(load, services, place.catalog_url)
            yield from losses(load, services)


@contextlib.contextmanager
def earlier(commit: str, path: Path) -> Iterator[Path]:
    """A checkout of this commit, with what git does not have of it removed again at the end."""
    git = ["git", "-C", str(PROJECT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(path), commit], check=True)
    try:
        yield path
    finally:
        subprocess.run([*git, "remove", "--force", str(path)], check=True)


def replaced(load: Load, services: Sequence[Replica], catalog_url: str) -> Iterator[str]:
    """Upgrade the catalog, then the services; yield what is wrong."""
    before = revision(catalog_url)
    with load.running():
        time.sleep(BETWEEN_SECONDS)
        SqlDatabase.open(catalog_url).close()  # as `winnow catalog upgrade`
        time.sleep(BETWEEN_SECONDS)
        for service in services:
            if (code := service.end(signal.SIGTERM)) != 0:
                yield f"SIGTERM ended a service with {code}"
            service.tree = PROJECT
            service.start()
            service.wait_until_ready()
            time.sleep(BETWEEN_SECONDS)
    print(f"catalog {before} to {revision(catalog_url)}, {len(services)} services replaced: answered", end=" ")
    print(f"{dict(load.answered)}, failed {dict(load.failed)}, stale {len(load.stale)}")
    yield from (f"failed: {count} of {said}, after {load.slowest[said]:.1f} s" for said, count in load.failed.items())
    yield from load.stale
    load.reset()


def revision(catalog_url: str) -> str:
    database = SqlDatabase.at(catalog_url)
    found = database.schema().said
    database.close()
    return found


if __name__ == "__main__":
    sys.exit(main())
