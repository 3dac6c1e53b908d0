"""`winnow stability perturb`: does the first place hold when a search is disturbed?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from winnow.api.cli.options import Json, TenantOption, open_tenant, with_settings
from winnow.api.cli.stability.golden import SERVED, SetNameArgument
from winnow.api.cli.stability.query_files import read_paraphrases
from winnow.api.cli.stability.schedule import stability
from winnow.api.cli.terminal import Column, Terminal
from winnow.api.formatting import amount, number, snippet
from winnow.api.settings import Settings
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.tenancy import DEFAULT_TENANT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from winnow.api.stability.disturbances import Disturbance
    from winnow.api.stability.perturb import Flip, Tried

__all__ = ["stability"]  # the group, with this command in it

EXAMPLES_SHOWN: Final = 10


@stability.command("perturb")
@with_settings(*SERVED)
def perturb(
    name: SetNameArgument,
    *,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind",
            metavar="KIND",
            help="Kind of disturbance; repeatable, all by default: candidate-order, batch-composition, near-duplicate, "
            "white-space, letter-case, character-width, chinese-script, punctuation, typo, paraphrase.",
        ),
    ] = None,
    paraphrases: Annotated[
        Path | None,
        typer.Option(
            "--paraphrases", metavar="FILE", help="A .jsonl file of 'query' and 'paraphrases', a list, for each query."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="Seed of what is left to chance.")] = None,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Disturb the searches of a golden set, and count how often another passage is first.

    Order and batches of candidates, and an inserted near-duplicate, go to the reranker alone; the other kinds ask the
    query in other letters. Passages whose scores are equal up to rounding may change places without counting.
    """
    terminal = Terminal(json=json)
    import asyncio

    from winnow.api.assemble import assemble
    from winnow.api.assemble_search import closing
    from winnow.api.schemas.perturb import perturb_response
    from winnow.api.stability.perturb import SEED, Perturbation

    kinds = _kinds(kind, has_paraphrases=paraphrases is not None)
    folder, owner = open_tenant(settings, tenant)
    golden = folder.catalog.stability.golden_set(owner, name)
    queries = folder.catalog.stability.queries(owner, name)
    texts = None if paraphrases is None else read_paraphrases(paraphrases, queries)
    services = assemble(settings)
    used = SEED if seed is None else seed
    perturbation = Perturbation(services.search, timeout_ms=settings.timeout_ms, seed=used, paraphrases=texts)
    questions = [services.replays.question(golden, each.query) for each in queries]
    tried = asyncio.run(closing(perturbation.run(questions, kinds), *services.pools))
    if json:
        terminal.answer(perturb_response(name, len(queries), used, tried))
    else:
        _show(terminal, tried)


def _kinds(named: list[str] | None, *, has_paraphrases: bool) -> list[Disturbance]:
    from winnow.api.stability.disturbances import Disturbance

    known = [each.value for each in Disturbance]
    for each in named or []:
        if each not in known:
            raise InvalidRequest(f"{each!r} is not a kind of disturbance; choose from {', '.join(known)}")
    if named and Disturbance.PARAPHRASE.value in named and not has_paraphrases:
        raise InvalidRequest("paraphrases come from a file; add --paraphrases FILE")
    kinds = [Disturbance(each) for each in named or known]
    return [each for each in kinds if has_paraphrases or each is not Disturbance.PARAPHRASE]


def _show(terminal: Terminal, tried: Sequence[Tried]) -> None:
    terminal.table(
        [
            Column(name="kind", style="bold"),
            *(Column(name=name, right=True) for name in ("tries", "flips", "flip rate", "overlap@10", "score shift")),
        ],
        [
            (
                each.kind,
                amount(each.tries),
                amount(each.flips),
                number(None) if each.flip_rate is None else f"{each.flip_rate:.1%}",
                number(each.overlap),
                number(None) if each.score_shift_max is None else f"{each.score_shift_max:.2g}",
            )
            for each in tried
        ],
    )
    flips = [(each.kind.value, flip) for each in tried for flip in each.examples]
    if terminal.is_rich and flips:
        terminal.table(
            [Column(name="kind"), Column(name="asked"), Column(name="before"), Column(name="after", style="bold")],
            [_row(kind, flip) for kind, flip in flips[:EXAMPLES_SHOWN]],
            title="Another passage is first",
        )


def _row(kind: str, flip: Flip) -> tuple[str, str, str, str]:
    after = "nothing" if flip.after is None else f"{flip.after[0]} #{flip.after[1]}"
    return kind, snippet(flip.disturbed), f"{flip.before[0]} #{flip.before[1]}", after
