"""Writes the mean of several rerankers' weights, which follows unseen wordings better than either of them.

    python -m training.gpu.mean FIRST/reranker.pt SECOND/reranker.pt --out MEAN/reranker.pt

All have to descend from one run (Wortsman et al., "Model soups", 2022): weights of runs that began apart have no mean.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch


def mean(paths: list[Path]) -> dict[str, object]:
    """The shape of the first, and the mean of all weights in bfloat16. ValueError if their shapes differ."""
    read = [torch.load(path, map_location="cpu") for path in paths]
    if any(each["shape"] != read[0]["shape"] for each in read):
        raise ValueError("the rerankers have different shapes")
    weights = {
        name: torch.stack([each["weights"][name].float() for each in read]).mean(0).to(torch.bfloat16)
        for name in read[0]["weights"]
    }
    return {"shape": read[0]["shape"], "weights": weights}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rerankers", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.save(mean(options.rerankers), options.out)


if __name__ == "__main__":
    main()
