"""Running average of a model's weights: as good as a slower end of the schedule, at no cost."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_YOUNG = 20  # steps; before this, the average forgets faster, so that it does not remember the random start


class Average:
    def __init__(self, model: nn.Module, *, decay_max: float) -> None:
        self.state: dict[str, Tensor] = {name: value.detach().clone() for name, value in model.state_dict().items()}
        self._decay_max = decay_max

    @torch.no_grad()
    def take(self, model: nn.Module, step: int) -> None:
        decay = min(self._decay_max, step / (step + _YOUNG))
        for name, value in model.state_dict().items():
            self.state[name].lerp_(value, 1 - decay)
