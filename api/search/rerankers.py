"""Chooses the reranker: the deployment's default, unless a collection has chosen another one by name.

The name is the one in `judged_by` of answers: a bundled or hub model's own, or for a folder the one in its winnow.json,
or else the folder's. `settings_by_name` (before anything is loaded) and `Rerankers` (when loaded) use the same names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from winnow.api.reranker_choice import find_reranker, reads_instruction
from winnow.api.settings import Settings
from winnow.rerank.reranker import Reranker
from winnow.retrieval.errors import InstructionUnsupported, InvalidRequest, RerankUnavailable, SettingInvalid
from winnow.retrieval.model.folder import model_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerankers:
    """The loaded rerankers, all with different names. Raises `SettingInvalid`."""

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
        """Return the reranker that a collection has chosen; None means the default.

        Raises `RerankUnavailable` if it is no longer configured: the caller did nothing wrong, and recall works.
        """
        if chosen is None:
            return self.default
        for each in self.all:
            if each.name == chosen:
                return each
        raise _not_configured(chosen, self.names)

    def require_reader(self, collection: str, chosen: str | None, *, is_required: bool) -> None:
        """Check a collection's choices before they are stored. Raises `InstructionUnsupported`."""
        reranker = next((each for each in self.all if each.name == chosen), self.default if chosen is None else None)
        if is_required and reranker is not None:
            require_instruction_reader(reranker, collection, readers=self.readers)

    @property
    def readers(self) -> tuple[str, ...]:
        """Names of the rerankers that read an instruction."""
        return tuple(each.name for each in self.all if each.reads_instruction)

    def of_caller(self, model: str | None) -> Reranker:
        """Return the reranker that a request names; unknown names, which other clients send, mean the default."""
        return next((each for each in self.all if each.name == model), self.default)


def require_instruction_reader(reranker: Reranker, collection: str, *, readers: Sequence[str] = ()) -> None:
    """Refuse a reranker that reads no instruction, for a collection that requires one.

    `readers` are configured rerankers that would do. Raises `InstructionUnsupported`.
    """
    if not reranker.reads_instruction:
        raise unsupported(reranker.name, collection, readers=readers)


def unsupported(reranker: str, collection: str, *, readers: Sequence[str] = ()) -> InstructionUnsupported:
    """Return the error for a collection that requires an instruction and has a reranker that reads none."""
    others = f" ({', '.join(readers)})" if readers else ""
    return InstructionUnsupported(
        f"{collection} has {reranker}. Choose a reranker that reads one{others} with `winnow collections "
        f"set-reranker {collection} RERANKER`, or end the requirement with `winnow collections set-require-instruction "
        f"{collection} off`"
    )


def each_alone(settings: Settings) -> tuple[Settings, ...]:
    """Return, for each configured reranker, default first, the settings that load only it."""
    default = replace(settings, rerank_also=())
    further = [replace(default, rerank_model=each.model, rerank_url=each.urls) for each in settings.rerank_also]
    return default, *further


def settings_by_name(settings: Settings) -> dict[str, Settings]:
    """Return the same by the rerankers' names, in the same order. Loads nothing.

    Raises `SettingInvalid` if two have the same name, `ModelNotFound`, `ModelUnusable`.
    """
    alone = each_alone(settings)
    names = [model_name(each.rerank_model, kind="reranker", source=each.model_source) for each in alone]
    _refuse_repeated(names)
    return dict(zip(names, alone, strict=True))


def settings_for(settings: Settings, chosen: str | None) -> Settings:
    """Return the settings that load only the reranker chosen by a collection.

    Raises `RerankUnavailable` like `Rerankers`, and what `settings_by_name` raises.
    """
    if chosen is None:
        return each_alone(settings)[0]
    found = settings_by_name(settings)
    if chosen not in found:
        raise _not_configured(chosen, found)
    return found[chosen]


def refuse_unread(settings: Settings, chosen: str | None, collection: str) -> None:
    """Check the reranker of a collection that requires an instruction.

    One that is not configured or not on this machine passes. Loads nothing. Raises `InstructionUnsupported`, what
    `settings_by_name` raises, what `reads_instruction` raises.
    """
    alone = each_alone(settings)[0] if chosen is None else settings_by_name(settings).get(chosen)
    if alone is not None and reads_instruction(alone) is False:
        raise unsupported(chosen or find_reranker(alone).name, collection)


def refuse_unknown(name: str | None, names: Iterable[str]) -> None:
    """Check a name before it is chosen. Raises `InvalidRequest`."""
    configured = tuple(names)
    if name is not None and name not in configured:
        raise InvalidRequest(f"the reranker {name!r} is not configured; configured are: {', '.join(configured)}")


def _not_configured(chosen: str, names: Iterable[str]) -> RerankUnavailable:
    return RerankUnavailable(
        f"the collection has chosen {chosen}, but configured are: {', '.join(names)}. Add its model with "
        "--rerank-also, or choose another for the collection"
    )


def _refuse_repeated(names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise SettingInvalid(
                f"two rerankers have the name {name}; rerank_model and rerank_also need different ones"
            )
