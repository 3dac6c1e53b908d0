"""Admission control: limits the tokens that wait, in total and per tenant. Pure.

One tenant may have up to `OWN_PER_FREE` times as many tokens waiting as there is room left: three quarters of the total
while no other tenant waits, less as the queue fills. A flood is therefore refused while there is still room for other
tenants, however many floods there are. A tenant with nothing waiting is refused only when there is no room at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from winnow.retrieval.errors import RerankOverloaded

OWN_PER_FREE: Final = 3  # times the room that is left


class AdmissionControl:
    """Admits requests by the number of tokens that are already waiting."""

    def __init__(self, tokens_max: int, *, weight_of: Callable[[str], float]) -> None:
        self._tokens_max = tokens_max
        self._weight_of = weight_of
        self._tokens = 0
        self._tokens_of: dict[str, int] = {}
        self.refused = 0  # counter
        self.refused_own = 0  # counter: refused because of what the same tenant already had waiting

    @property
    def tokens(self) -> int:
        """Tokens waiting, all tenants."""
        return self._tokens

    def tokens_of(self, tenant: str) -> int:
        """Tokens waiting for one tenant."""
        return self._tokens_of.get(tenant, 0)

    @contextmanager
    def admitted(self, tenant: str, tokens: int) -> Iterator[None]:
        """Hold the tokens while the block runs. A request is never refused when nothing is waiting.

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
            raise RerankOverloaded(f"about {self._tokens} tokens are waiting; the limit is {self._tokens_max}")
        allowed = int(OWN_PER_FREE * self._weight_of(tenant) * (free - tokens))
        if own and own + tokens > allowed:
            self.refused_own += 1
            raise RerankOverloaded(f"your tenant already has about {own} tokens waiting; the rest is for other tenants")

    def _add(self, tenant: str, tokens: int) -> None:
        self._tokens += tokens
        left = self.tokens_of(tenant) + tokens
        if left:
            self._tokens_of[tenant] = left
        else:
            self._tokens_of.pop(tenant, None)
