"""So much a minute, in bursts of at most a minute's worth: a token bucket, told what was spent. Pure: no clock."""

from __future__ import annotations

from dataclasses import dataclass

_MINUTE = 60.0  # seconds


@dataclass(slots=True)
class TokenBucket:
    """What of its minute's worth somebody has spent and not earned back. The rate may change at any time."""

    spent: float = 0.0
    at: float = 0.0  # seconds, of the caller's clock

    def wait_seconds(self, amount: float, *, per_minute: float, now: float) -> float:
        """How long until so much may be spent; 0 is now. More than a minute's worth never may, but as the first."""
        self._earn(per_minute, now)
        excess = self.spent + min(amount, per_minute) - per_minute
        return max(0.0, excess * _MINUTE / per_minute)

    def spend(self, amount: float, *, per_minute: float, now: float) -> None:
        """Also beyond what there is: what is known only afterwards is waited for afterwards."""
        self._earn(per_minute, now)
        self.spent += amount

    def _earn(self, per_minute: float, now: float) -> None:
        self.spent = max(0.0, self.spent - (now - self.at) * per_minute / _MINUTE)
        self.at = now
