"""Ends one of three services behind a proxy again and again while clients write and read: none of them may notice.

    python -m tests.faults.replicas --rounds 20 --seed 1 [--proxy haproxy] [--place bucket]

1. Rounds of SIGTERM and SIGKILL in turn, each time of another service, which is started again: no request fails, no
   acknowledged write is lost, no read is older than a second.
2. PostgreSQL is stopped (SIGSTOP) and continued, and with `--place bucket` the object store as well: requests fail with
   winnow's own 503 only, within their deadlines, and succeed again within ten seconds.
3. All services are stopped in order: every search that was answered since the last writing is in the usage.
4. The control: a service is killed behind the proxy without repetitions, and requests must fail.

Needs nginx or HAProxy. Exits with 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.faults.replicas.load import Load, make_collections
from tests.faults.replicas.outages import database_stopped, store_stopped
from tests.faults.replicas.places import PLACES, place_at
from tests.faults.replicas.proxies import PROXIES, balanced, why_not
from tests.faults.replicas.rounds import control, losses, rounds, stopped
from tests.faults.replicas.services import replicas
from tests.faults.replicas.verdict import exit_code
from tests.postgres import running


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--proxy", choices=PROXIES, default="nginx")
    parser.add_argument("--place", choices=PLACES, default="folder")
    parser.add_argument("--short", action="store_true", help="the rounds and the usage only")
    asked = parser.parse_args(arguments)
    if (missing := why_not(asked.proxy)) is not None:
        print(missing)
        return 1
    return exit_code("replicas", lambda folder: _wrong(folder, asked))


def _wrong(folder: Path, asked: argparse.Namespace) -> Iterator[str]:
    with (
        running() as server,
        place_at(asked.place, folder, server) as place,
        replicas(folder, place, count=asked.replicas) as services,
    ):
        make_collections(services[0].url)
        with balanced(folder, services, proxy=asked.proxy) as address:
            load = Load(address)
            yield from rounds(load, services, count=asked.rounds, seed=asked.seed)
            if not asked.short:
                yield from database_stopped(load, server)
            if place.server is not None and not asked.short:
                yield from store_stopped(load, place.server)
            yield from losses(load, services)
        if not asked.short:
            yield from control(folder, services, proxy=asked.proxy)
        yield from stopped(folder, services, place.catalog_url, proxy=asked.proxy)


if __name__ == "__main__":
    sys.exit(main())
