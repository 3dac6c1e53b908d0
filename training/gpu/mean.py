"""Writes the mean of several rerankers' weights, which follows unseen wordings better than either of them.

    python -m training.gpu.mean FIRST/reranker.pt SECOND/reranker.pt data/models/winnow-rerank --out MEAN/reranker.pt

Each is a reranker.pt or an exported folder. All have to descend from one run (Wortsman et al., "Model soups", 2022):
weights of runs that began apart have no mean.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from training.gpu.network import THETA, read_weights


def mean(paths: list[Path]) -> dict[str, object]:
    """The shape of the first, and the mean of all weights in bfloat16. ValueError if their shapes differ."""
    read = [read_weights(path) for path in paths]
    shapes = [{"theta": int(THETA), **shape} for shape, _ in read]
    if any(shape != shapes[0] for shape in shapes):
        raise ValueError("the rerankers have different shapes")
    first = read[0][1]
    weights = {name: torch.stack([each[name].float() for _, each in read]).mean(0).to(torch.bfloat16) for name in first}
    return {"shape": shapes[0], "weights": weights}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rerankers", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.save(mean(options.rerankers), options.out)


if __name__ == "__main__":
    main()
