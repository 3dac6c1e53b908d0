"""Distils on one judged collection, and prints what `winnow distill` says of the held-back queries.

    python -m bench.distill [--collection FOLDER] [--teacher MODEL] [--student MODEL] [--seconds 480]

Without --student the student is the teacher with noise of half a standard deviation in its matrices, and has to come
back. Without the collection nothing is done.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import load_file, save_file

from bench.depth import COLLECTIONS
from winnow.retrieval.model.folder import find_model

NOISE: Final = 0.5  # standard deviations of each matrix


def disturbed(teacher: str, folder: Path) -> Path:
    """Write the teacher with noise; it ranks by relevance alone."""
    shutil.copytree(find_model(teacher, kind="reranker").path, folder)
    settings = {"kind": "reranker", "name": "disturbed", "max_tokens": 8192}
    (folder / "winnow.json").write_text(json.dumps(settings), encoding="utf-8")
    weights = load_file(folder / "model.safetensors")
    torch.manual_seed(1)
    for name in (name for name in weights if "_proj" in name):
        wide = weights[name].float()
        weights[name] = (wide + NOISE * wide.std() * torch.randn_like(wide)).to(weights[name].dtype)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def winnow(*words: str) -> int:
    return subprocess.run([sys.executable, "-m", "winnow.api.cli", *words], check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--collection", type=Path, default=COLLECTIONS / "cosqa", help="in BEIR's form")
    parser.add_argument("--teacher", default="winnow-rerank")
    parser.add_argument("--student")
    parser.add_argument("--candidates", type=int, default=20)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=480.0, help="of scoring and training together")
    asked = parser.parse_args()
    if not asked.collection.is_dir():
        print(f"no collection in {asked.collection} (--collection FOLDER): nothing is distilled", file=sys.stderr)
        return 0
    files = {name: next(asked.collection.glob(f"{name}.*")) for name in ("queries", "qrels")}
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        student = asked.student or str(disturbed(asked.teacher, work / "student"))
        data = ("--data", str(work / "data"))
        if code := winnow("index", str(asked.collection), "--collection", "judged", *data):
            return code
        counts = f"--candidates {asked.candidates} --queries-max {asked.queries} --max-seconds {asked.seconds}"
        models = ("--teacher", asked.teacher, "--student", student, "--output", str(work / "judged-rerank"))
        judged = ("--queries", str(files["queries"]), "--qrels", str(files["qrels"]))
        return winnow("distill", "judged", *counts.split(), *models, *judged, "--yes", "--json", *data)


if __name__ == "__main__":
    sys.exit(main())
