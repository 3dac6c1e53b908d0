"""Which reranker judges? The deployment's own, unless a collection has chosen one of the others by name.

A name is the one that answers carry as `judged_by`: of a bundled model or one on the hub its own, of a folder what its
winnow.json says, or else the folder's. What is asked before anything is loaded (`settings_by_name`) and what is asked
of those that are loaded (`Rerankers`) are told by the same names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from winnow.api.settings import Settings
from winnow.rerank.reranker import Reranker
from winnow.retrieval.errors import InvalidRequest, RerankUnavailable, SettingInvalid
from winnow.retrieval.model.folder import model_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerankers:
    """Those that are loaded, no two of one name. Raises `SettingInvalid`."""

    default: Reranker
    also: tuple[Reranker, ...] = ()

    def __post_init__(self) -> None:
        _refuse_repeated(self.names)

    @property
    def all(self) -> tuple[Reranker, ...]:
        return self.default, *self.also

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(each.name for each in self.all)

    def of_collection(self, chosen: str | None) -> Reranker:
        """The one that a collection has chosen; None is the default.

        Raises `RerankUnavailable` where it is no longer configured: whoever asks did nothing wrong, and recall works.
        """
        if chosen is None:
            return self.default
        for each in self.all:
            if each.name == chosen:
                return each
        raise _not_configured(chosen, self.names)

    def of_caller(self, model: str | None) -> Reranker:
        """The one that a request names. Other people's clients send names of their own: those get the default."""
        return next((each for each in self.all if each.name == model), self.default)


def each_alone(settings: Settings) -> tuple[Settings, ...]:
    """For each configured reranker, the default first, the settings that load it and no other."""
    default = replace(settings, rerank_also=())
    further = [replace(default, rerank_model=each.model, rerank_url=each.urls) for each in settings.rerank_also]
    return default, *further


def settings_by_name(settings: Settings) -> dict[str, Settings]:
    """The same by the rerankers' names, in the same order. Loads nothing.

    Raises `SettingInvalid` where two have one name, `ModelNotFound`, `ModelUnusable`.
    """
    alone = each_alone(settings)
    names = [model_name(each.rerank_model, kind="reranker") for each in alone]
    _refuse_repeated(names)
    return dict(zip(names, alone, strict=True))


def settings_for(settings: Settings, chosen: str | None) -> Settings:
    """Those that load the one reranker which a collection has chosen. Raises `RerankUnavailable` as `Rerankers` does,
    and what `settings_by_name` raises.
    """
    if chosen is None:
        return each_alone(settings)[0]
    found = settings_by_name(settings)
    if chosen not in found:
        raise _not_configured(chosen, found)
    return found[chosen]


def refuse_unknown(name: str | None, names: Iterable[str]) -> None:
    """Before it is chosen. Raises `InvalidRequest`."""
    configured = tuple(names)
    if name is not None and name not in configured:
        raise InvalidRequest(f"there is no reranker {name!r} here; configured: {', '.join(configured)}")


def _not_configured(chosen: str, names: Iterable[str]) -> RerankUnavailable:
    return RerankUnavailable(
        f"the collection has chosen {chosen}, and configured here: {', '.join(names)}. Name its model in "
        "--rerank-also, or choose another for the collection"
    )


def _refuse_repeated(names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise SettingInvalid(f"two rerankers are called {name}; rerank_model and rerank_also need different ones")
