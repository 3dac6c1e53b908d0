"""Writes all texts of the GPU training into one file: passages, questions with a passage, twins.

    python -m training.gpu.gather --datasets DIR --manuals FILE --pairs DIR --packages SITE:SITE --out FILE

The sources of training.prepare, the functions of more installed packages, files of pairs (`training.gpu.pairs`), and
code in documentation with the prose around it (`--fenced`, of training.sources.fenced). One process per source.
"""

from __future__ import annotations

import argparse
import json
import lzma
import pickle
import random
from collections import Counter
from collections.abc import Iterator
from multiprocessing import Pool
from pathlib import Path

from training import functions, prepare
from training.gpu import pairs

FUNCTIONS_PER_PACKAGE = 3_000
FENCED = "fenced"  # beginning of the names of these sources
TITLED_SHARE = 0.5  # of code and prose in documentation, each
MORE_PACKAGES = {
    "torch": "BSD-3-Clause", "jax": "Apache-2.0", "flax": "Apache-2.0", "optax": "Apache-2.0", "botorch": "MIT",
    "gpytorch": "MIT", "torch_geometric": "MIT", "lightning": "Apache-2.0", "accelerate": "Apache-2.0",
    "peft": "Apache-2.0", "timm": "Apache-2.0", "equinox": "Apache-2.0", "onnx": "Apache-2.0",
    "numpyro": "Apache-2.0", "pytorch_lightning": "Apache-2.0", "torchmetrics": "Apache-2.0",
    "huggingface_hub": "Apache-2.0", "torchvision": "BSD-3-Clause", "joblib": "BSD-3-Clause",
    "patsy": "BSD-2-Clause", "formulaic": "MIT", "pyarrow": "Apache-2.0", "cupy": "MIT", "numba": "BSD-2-Clause",
    "triton": "MIT", "e3nn": "MIT", "aiohttp": "Apache-2.0", "urllib3": "MIT", "rich": "MIT",
    "click": "BSD-3-Clause", "h5py": "BSD-3-Clause", "absl": "Apache-2.0", "fsspec": "BSD-3-Clause",
    "tensorboard": "Apache-2.0", "anyio": "MIT", "psutil": "BSD-3-Clause", "attr": "MIT", "fontTools": "MIT",
}  # fmt: skip


def gathering(arguments: argparse.Namespace, name: str) -> prepare.Gathering:
    return prepare.Gathering(prepare.Seen(arguments.datasets / "collections"), random.Random(name))


def add_manuals(to: prepare.Gathering, path: Path) -> None:
    """Add what training.manuals read from the Debian packages."""
    read = json.loads(lzma.decompress(path.read_bytes()))
    for source, pages in (("libreoffice_help", read["help"]), ("debian_books", read["book"])):
        for page in pages:
            prepare.add_parallel(to, source, [(en, zh) for en, zh in page])
    for name, text in read["man"]:
        for number, piece in enumerate(prepare.cut(text)):
            to.passage("manpages", piece, title=name if number % 2 else "")


def add_fenced(to: prepare.Gathering, path: Path) -> None:
    for row in pairs.lines(path):
        add_fenced_row(to, row)


def add_fenced_row(to: prepare.Gathering, row: dict[str, str]) -> None:
    """Add a block of code and the prose around it as twins of two kinds, each with or without its heading."""
    source = f"{FENCED}-{row['source']}"
    titles = [row["heading"] if to.rng.random() < TITLED_SHARE else "" for _ in range(2)]
    prose = to.passage(source, row["prose"], title=titles[0])
    code = to.passage(source, row["code"], title=titles[1], kind="code")
    to.twin(f"{source}.kinds", prose, code, query=row["question"])


def work(job: tuple[argparse.Namespace, str]) -> tuple[str, prepare.Gathering]:
    arguments, name = job
    to = gathering(arguments, name)
    functions.FUNCTIONS_PER_PACKAGE_MAX = FUNCTIONS_PER_PACKAGE
    if name == "shared":
        prepare.add_shared(to, arguments.datasets / "training")
    elif name == "parallel":
        prepare.add_shared_parallel(to, arguments.datasets / "training")
    elif name == "manuals":
        add_manuals(to, arguments.manuals)
    elif name == "fenced":
        add_fenced(to, arguments.fenced)
    elif name == "stdlib":
        prepare.add_functions(to, "stdlib", functions.standard_library())
    elif name.startswith("pairs:"):
        pairs.add(to, Path(name[len("pairs:") :]))
    else:
        functions.PERMISSIVE.clear()
        functions.PERMISSIVE[name] = "of the list"
        for site in arguments.packages:
            prepare.add_functions(to, "packages", functions.packages(site))
    return name, to


def jobs(arguments: argparse.Namespace) -> Iterator[str]:
    yield "parallel"
    yield "shared"
    yield "manuals"
    for path in sorted(arguments.pairs.glob("*.jsonl.xz")) if arguments.pairs else []:
        yield f"pairs:{path}"
    if arguments.fenced:
        yield "fenced"
    if arguments.packages:
        yield "stdlib"
        known = {**functions.PERMISSIVE, **MORE_PACKAGES}
        yield from sorted(name for name in known if any((site / name).is_dir() for site in arguments.packages))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", type=Path, required=True)
    parser.add_argument("--manuals", type=Path, required=True)
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--fenced", type=Path)
    parser.add_argument("--packages", type=lambda text: [Path(part) for part in text.split(":") if part], default=[])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--processes", type=int, default=16)
    arguments = parser.parse_args()
    passages, questions, twins = [], [], []
    rows: dict[tuple[str, str], int] = {}
    with Pool(arguments.processes) as pool:
        for _, one in pool.imap_unordered(work, [(arguments, name) for name in jobs(arguments)]):
            places = []
            for p in one.passages:
                if (p.title, p.text) not in rows:
                    rows[p.title, p.text] = len(passages)
                    passages.append((p.source, p.language, p.kind, p.text, p.title))
                places.append(rows[p.title, p.text])
            questions += [(q.source, q.query, places[q.passage]) for q in one.pairs]
            twins += [(t.source, t.query, places[t.first], places[t.second]) for t in one.twins]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    beside = arguments.out.with_suffix(".part")
    beside.write_bytes(pickle.dumps((passages, questions, twins), 4))
    beside.replace(arguments.out)
    for label, found in (("passages", passages), ("questions", questions), ("twins", twins)):
        print(label, len(found), dict(Counter(row[0] for row in found)), flush=True)


if __name__ == "__main__":
    main()
