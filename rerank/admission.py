"""May this much more wait? Bounded as a whole, and for each tenant by the room that is left. Pure.

One tenant may have up to `OWN_PER_FREE` times as many tokens waiting as there is room for: three quarters of all while
nobody else waits, less the fuller it gets. So a flood is refused while there is still room for others, however many
floods there are; who has nothing waiting is refused only where there is no room at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from winnow.retrieval.errors import RerankOverloaded

OWN_PER_FREE: Final = 3  # times the room that is left


class WaitingRoom:
    """Counts tokens, not requests."""

    def __init__(self, tokens_max: int, *, weight_of: Callable[[str], float]) -> None:
        self._tokens_max = tokens_max
        self._weight_of = weight_of
        self._tokens = 0
        self._tokens_of: dict[str, int] = {}
        self.refused = 0  # only grows
        self.refused_own = 0  # likewise: for what the same tenant had waiting already

    @property
    def tokens(self) -> int:
        """What waits altogether."""
        return self._tokens

    def tokens_of(self, tenant: str) -> int:
        """What waits for this one."""
        return self._tokens_of.get(tenant, 0)

    @contextmanager
    def admitted(self, tenant: str, tokens: int) -> Iterator[None]:
        """For as long as the block lasts. A request that finds nothing waiting is never refused.

        Raises `RerankOverloaded`.
        """
        self._refuse_excess(tenant, tokens)
        self._add(tenant, tokens)
        try:
            yield
        finally:
            self._add(tenant, -tokens)

    def _refuse_excess(self, tenant: str, tokens: int) -> None:
        own, free = self.tokens_of(tenant), self._tokens_max - self._tokens
        if self._tokens and tokens > free:
            self.refused += 1
            raise RerankOverloaded(f"about {self._tokens} tokens are waiting; {self._tokens_max} may")
        allowed = int(OWN_PER_FREE * self._weight_of(tenant) * (free - tokens))
        if own and own + tokens > allowed:
            self.refused_own += 1
            raise RerankOverloaded(f"about {own} tokens of yours are waiting, and others need room too")

    def _add(self, tenant: str, tokens: int) -> None:
        self._tokens += tokens
        left = self.tokens_of(tenant) + tokens
        if left:
            self._tokens_of[tenant] = left
        else:
            self._tokens_of.pop(tenant, None)
