"""Writes the mean of several rerankers' weights, which follows unseen wordings better than either of them.

    python -m training.gpu.mean FIRST/reranker.pt SECOND/reranker.pt data/models/winnow-rerank --out MEAN/reranker.pt
    python -m training.gpu.mean A.pt B.pt --shares 0.8 0.2 --out MIXTURE.pt

Each is a reranker.pt or an exported folder. All have to descend from one run (Wortsman et al., "Model soups", 2022):
weights of runs that began apart have no mean.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from training.gpu.network import THETA, read_weights


def mean(paths: list[Path], shares: list[float] | None = None) -> dict[str, object]:
    """The shape of the first, and the mean of all weights in bfloat16, each by its share (all alike without).

    ValueError if their shapes differ, or if there are not as many shares.
    """
    shares = shares or [1 / len(paths)] * len(paths)
    if len(shares) != len(paths) or abs(sum(shares) - 1) > 1e-6:
        raise ValueError("each reranker needs a share, and together they are 1")
    read = [read_weights(path) for path in paths]
    shapes = [{"theta": int(THETA), **shape} for shape, _ in read]
    if any(shape != shapes[0] for shape in shapes):
        raise ValueError("the rerankers have different shapes")
    first = read[0][1]
    weights = {
        name: torch.stack([each[name].float() * share for (_, each), share in zip(read, shares, strict=True)]).sum(0)
        for name in first
    }
    return {"shape": shapes[0], "weights": {name: value.to(torch.bfloat16) for name, value in weights.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rerankers", type=Path, nargs="+")
    parser.add_argument("--shares", type=float, nargs="+", help="of each, 1 together; default: all alike")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.save(mean(options.rerankers, options.shares), options.out)


if __name__ == "__main__":
    main()
