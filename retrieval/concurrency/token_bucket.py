"""A token bucket: a rate per minute, in bursts of up to one minute's amount. Pure: no clock."""

from __future__ import annotations

from dataclasses import dataclass

_MINUTE = 60.0  # seconds


@dataclass(slots=True)
class TokenBucket:
    """What was spent and not yet earned back. The rate may change at any time."""

    spent: float = 0.0
    at: float = 0.0  # seconds of the caller's clock

    def wait_seconds(self, amount: float, *, per_minute: float, now: float) -> float:
        """Return the seconds until this may be spent; more than a minute's amount waits for a full bucket."""
        self._earn(per_minute, now)
        excess = self.spent + min(amount, per_minute) - per_minute
        return max(0.0, excess * _MINUTE / per_minute)

    def spend(self, amount: float, *, per_minute: float, now: float) -> None:
        """Spend, even beyond what is left: a cost that is known only afterwards delays later requests."""
        self._earn(per_minute, now)
        self.spent += amount

    def _earn(self, per_minute: float, now: float) -> None:
        self.spent = max(0.0, self.spent - (now - self.at) * per_minute / _MINUTE)
        self.at = now
