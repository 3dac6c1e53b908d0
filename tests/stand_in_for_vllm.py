"""A real process in the place of vLLM: it obeys a script, one line for each of its starts.

    python stand_in_for_vllm.py FOLDER ... --port=N

Each start takes the next line of FOLDER/script (the last one for ever) and adds its arguments to FOLDER/starts. A line
is words, obeyed in order: `serve` answers /health from then on, `deaf` listens but never answers, `child` leaves a
process behind, `sleep:S` waits, `say:TEXT` writes a line (underscores are spaces), `end:CODE` ends. Without `end` it
goes on until it is told to stop; after `stubborn` it does not hear that either.
"""

from __future__ import annotations

import http.server
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path


class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    folder = Path(sys.argv[1])
    (port,) = (int(each.partition("=")[2]) for each in sys.argv if each.startswith("--port="))
    with (folder / "starts").open("a") as starts:
        starts.write(json.dumps(sys.argv[2:]) + "\n")
    lines = (folder / "script").read_text().splitlines()
    started = len((folder / "starts").read_text().splitlines())
    for word in lines[min(started, len(lines)) - 1].split():
        obey(word, port, folder)
    while True:
        time.sleep(0.05)


def obey(word: str, port: int, folder: Path) -> None:
    what, _, value = word.partition(":")
    if what == "serve":
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Health)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    elif what == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    elif what == "child":
        left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        (folder / "child.tmp").write_text(str(left.pid))
        (folder / "child.tmp").rename(folder / "child")  # whoever sees it can read it
    elif what == "sleep":
        time.sleep(float(value))
    elif what == "say":
        print(value.replace("_", " "), flush=True)
    elif what == "end":
        sys.exit(int(value))
    else:
        raise ValueError(word)


if __name__ == "__main__":
    main()
