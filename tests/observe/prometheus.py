"""A real Prometheus over the project's own rules, on loopback, while a block lasts."""

from __future__ import annotations

import json
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.observe.environment import PROJECT

RULES = PROJECT / "deploy" / "observe" / "prometheus"
INTERVAL = "250ms"  # of scrapes and rules, in place of 15 s


@dataclass(frozen=True, slots=True, kw_only=True)
class Prometheus:
    url: str

    def ask(self, path: str, **parameters: str) -> Any:
        """The `data` of an answer of its API."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as answered:  # noqa: S310
            return json.load(answered)["data"]

    def values(self, query: str) -> list[float]:
        """What a query returns at this moment."""
        return [float(each["value"][1]) for each in self.ask("query", query=query)["result"]]

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=1) as answered:  # noqa: S310
                return bool(answered.status == 200)
        except OSError:
            return False


def configuration(folder: Path, *, port: int, key: str) -> Path:
    """The project's own, with this service, this key, and quicker."""
    config = yaml.safe_load((RULES / "prometheus.yml").read_text(encoding="utf-8"))
    (folder / "key").write_text(key)
    config["global"] = dict.fromkeys(config["global"], INTERVAL)
    config["rule_files"] = [str(RULES / name) for name in config["rule_files"]]
    (job,) = config["scrape_configs"]
    job["authorization"]["credentials_file"] = str(folder / "key")
    job["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    return path


@contextmanager
def scraping(program: str, config: Path) -> Iterator[Prometheus]:
    """Ends it by its process id."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    process = subprocess.Popen(
        [program, f"--config.file={config}", f"--storage.tsdb.path={config.parent / 'tsdb'}",
         f"--web.listen-address={address}", "--enable-feature=exemplar-storage", "--log.level=warn"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield Prometheus(url=f"http://{address}")
    finally:
        process.terminate()
        process.wait(timeout=30)
