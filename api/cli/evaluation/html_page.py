"""Makes the page of `--html`: one file that loads nothing, for a browser or a printer.

Everything that is not our own markup is escaped, and the page's own policy forbids scripts and any request.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Final

from winnow import __version__
from winnow.api.cli.evaluation.svg_charts import (
    COLOURS,
    Point,
    Series,
    element,
    histogram,
    line_chart,
    scatter_chart,
    stage_chart,
)
from winnow.api.formatting import amount, flat
from winnow.api.schemas.evaluation import (
    EvalComparison,
    EvalMovement,
    EvalPercentiles,
    EvalResponse,
    EvalRun,
    EvalTimings,
)
from winnow.retrieval.files.durable import write_errors
from winnow.retrieval.significance import DRAWS, LEVEL, SEED

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE: Final = Path(__file__).with_name("page.css")
_TEXT_CHARACTERS: Final = 300  # of a query
_PAIRS_MAX: Final = 40  # rows of the table of pairs; --json has all


def write_page(path: Path, body: EvalResponse) -> None:
    """Write the page. Raises `WriteFailed`."""
    with write_errors(path):
        path.write_text(page(body), encoding="utf-8", errors="backslashreplace")


def page(body: EvalResponse, *, now: datetime | None = None) -> str:
    """Make the page."""
    title = f"Ranking of {body['collection']}"
    parts = [_head(body, title, now or datetime.now(UTC)), _runs(body), _curves(body)]
    if len(body["runs"]) > 1:
        parts += [_differences(body), _movements(body), _extremes(body), _pairs(body)]
    parts += [_settings(body), _method(body)]
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">'
        f"<title>{_text(title)}</title><style>{_STYLE.read_text(encoding='utf-8')}</style>"
    )
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body><main>\n{"".join(parts)}</main></body></html>\n'
    )


def _head(body: EvalResponse, title: str, now: datetime) -> str:
    asked = f"{amount(body['queries'])} judged queries over {amount(body['documents'])} documents"
    return (
        f"<header><h1>{_text(title)}</h1>"
        f'<p class="soft">{asked} · {now:%Y-%m-%d} · winnow {__version__}</p>'
        f'<p class="lead">{_lead(body)}</p></header>\n'
    )


def _lead(body: EvalResponse) -> str:
    """Say in a sentence what came out, by the first measure."""
    first, *others = body["runs"]
    measure = _first_measure(body)
    if not others:
        return f"<b>{_text(first['name'])}</b> has {measure} {first['metrics'][measure]:.4f}."
    best = max(others, key=lambda run: run["metrics"][measure])
    found = _against_first(body, best["name"], measure)
    name = f"<b>{_text(best['name'])}</b>"
    against = f"<b>{_text(first['name'])}</b>"
    if found is None or found["mean"] == 0:
        return f"No run is better than {against} by {measure}."
    is_sure = found["p_holm"] < LEVEL
    difference = f"{abs(found['mean']):.4f} {'above' if found['mean'] > 0 else 'below'} {against}"
    verdict = "The difference is significant" if is_sure else "The difference may be chance"
    return (
        f"{name} has {measure} {best['metrics'][measure]:.4f}, {difference}. {verdict} "
        f"(95 % interval {_signed(found['low'])} to {_signed(found['high'])}, p = {found['p_holm']:.4f})."
    )


def _runs(body: EvalResponse) -> str:
    measures = list(body["runs"][0]["metrics"])
    best = {each: max(run["metrics"][each] for run in body["runs"]) for each in measures}
    columns = [*measures, "ms p50", "p90", "p99", "tokens"]
    if body["gpu_hour_price"] is not None:
        columns.append("cost of 1,000")
    rows = []
    for place, run in enumerate(body["runs"]):
        cells = [
            _measured(body, run, measure, is_best=run["metrics"][measure] == best[measure]) for measure in measures
        ]
        times, tokens = run["timings"], run["tokens"]
        total: EvalPercentiles | None = None if times is None else times["total"]
        cells += [("" if total is None else _ms(total[each]), "") for each in ("p50", "p90", "p99")]
        cells.append(("" if tokens is None else amount(round(tokens["embed"] + tokens["rerank"])), ""))
        if body["gpu_hour_price"] is not None:
            cells.append(("" if run["cost_per_1000"] is None else f"{run['cost_per_1000']:.4f}", ""))
        written = "".join(
            element("td", content, class_=f"number {style}".strip(), data_label=column)
            for column, (content, style) in zip(columns, cells, strict=True)
        )
        rows.append(f"<tr><th scope='row'>{_dot(place)}{_text(run['name'])}</th>{written}</tr>")
    note = "Below each figure: its difference to the first run, with * where the corrected p is below 0.05."
    return _section("Runs", note, _table(["run"], columns, rows))


def _measured(body: EvalResponse, run: EvalRun, measure: str, *, is_best: bool) -> tuple[str, str]:
    found = _against_first(body, run["name"], measure)
    small = ""
    if found is not None:
        mark = "*" if found["p_holm"] < LEVEL else ""
        style = "soft" if not mark else "up" if found["mean"] > 0 else "down"
        small = f'<small class="{style}">{_signed(found["mean"])}{mark}</small>'
    return f"<span>{run['metrics'][measure]:.4f}{small}</span>", "best" if is_best else ""


def _curves(body: EvalResponse) -> str:
    runs, measure = body["runs"], _first_measure(body)
    cutoffs = [
        Series(name=run["name"], x=run["by_cutoff"]["x"], y=run["by_cutoff"]["y"], colour=place)
        for place, run in enumerate(runs)
    ]
    depths = [
        Series(name=run["name"], x=curve["x"], y=curve["y"], colour=place)
        for place, run in enumerate(runs)
        if (curve := run["by_reranked"]) is not None
    ]
    timed = [
        Point(
            name=run["name"],
            x=times["total"]["p50"],
            x_end=times["total"]["p90"],
            y=run["metrics"][measure],
            colour=place,
        )
        for place, run in enumerate(runs)
        if (times := run["timings"]) is not None
    ]
    name = runs[0]["by_cutoff"]["measure"]
    cards = [
        _card(
            f"{name} against depth",
            "How good the first places are, for answers of one document to all that were measured.",
            line_chart(cutoffs, x_label="documents looked at", y_label=name, title=f"{name} against depth"),
        ),
        _card(
            f"{measure} against latency",
            "Up and left is better. The dot is the median query, the line reaches to the 90th percentile.",
            scatter_chart(timed, x_label="milliseconds", y_label=measure, title=f"{measure} against latency"),
        ),
    ]
    if depths:
        cards.append(
            _card(
                f"{measure} against candidates",
                "What fewer candidates would have given, from the scores of this run. 0 is recall's order.",
                line_chart(
                    depths, x_label="candidates reranked", y_label=measure, title=f"{measure} against candidates"
                ),
            )
        )
    staged = [(run["name"], _stages(times)) for run in runs if (times := run["timings"]) is not None]
    if staged:
        cards.append(
            _card(
                "Where the time goes",
                "The median of each stage of a search.",
                stage_chart(staged, x_label="milliseconds", title="Where the time goes"),
            )
        )
    legend = "".join(f"<li>{_dot(place)}{_text(run['name'])}</li>" for place, run in enumerate(runs))
    return _section(
        "Quality and cost", "", f'<ul class="legend">{legend}</ul><div class="cards">{"".join(cards)}</div>'
    )


def _stages(times: EvalTimings) -> list[tuple[str, float]]:
    reranked = times["rerank"]
    found = [("embed", times["embed"]["p50"]), ("recall", times["recall"]["p50"]), ("fetch", times["fetch"]["p50"])]
    return [*found, *([("rerank", reranked["p50"])] if reranked is not None else [])]


def _differences(body: EvalResponse) -> str:
    cards = []
    for place, run in enumerate(body["runs"]):
        found = run["differences"]
        if found is not None:
            told = f"{found['wins']} better, {found['ties']} the same, {found['losses']} worse"
            drawn = histogram(found, title=f"Differences of {run['name']}: {told}")
            cards.append(_card(run["name"], told, drawn, dot=_dot(place)))
    note = f"How much each query gains or loses in {_first_measure(body)}; queries without a difference are not drawn."
    return _section(f"Queries against {body['runs'][0]['name']}", note, f'<div class="cards">{"".join(cards)}</div>')


def _movements(body: EvalResponse) -> str:
    cards = [
        _card(
            run["name"],
            f"{amount(found['up'])} rise, {amount(found['same'])} stay, {amount(found['down'])} fall",
            _movement(found, run["name"]),
            dot=_dot(place),
        )
        for place, run in enumerate(body["runs"])
        if (found := run["movement"]) is not None
    ]
    first = body["runs"][0]["name"]
    note = (
        f"Relevant documents by their rank in {first} (rows) and in the run (columns). Left of the diagonal is better."
    )
    return _section("Movement of relevant documents", note, f'<div class="cards">{"".join(cards)}</div>')


def _movement(found: EvalMovement, name: str) -> str:
    bands, most = found["bands"], max((max(row) for row in found["counts"]), default=0) or 1
    heads = "".join(f'<th scope="col">{_text(band)}</th>' for band in bands)
    rows = []
    for before, (band, counts) in enumerate(zip(bands, found["counts"], strict=True)):
        cells = []
        for after, count in enumerate(counts):
            kind = "none" if not count else "kept" if before == after else "better" if after < before else "worse"
            share = round(12 + 58 * count / most) if count else 0
            cells.append(f'<td class="{kind}" style="--share:{share}">{amount(count) if count else "·"}</td>')
        rows.append(f'<tr><th scope="row">{_text(band)}</th>{"".join(cells)}</tr>')
    caption = element("caption", _text(f"Ranks before and in {name}"), class_="hidden")
    corner = '<th scope="col"><span class="hidden">rank before</span></th>'
    head = f"<thead><tr>{corner}{heads}</tr></thead>"
    return f'<table class="movement">{caption}{head}<tbody>{"".join(rows)}</tbody></table>'


def _extremes(body: EvalResponse) -> str:
    if not body["extremes"]:
        return ""
    measure, first = _first_measure(body), body["runs"][0]["name"]
    columns = ["query", first, "run's", "difference"]
    place_of = {run["name"]: place for place, run in enumerate(body["runs"])}
    rows = []
    for each in body["extremes"]:
        text = flat(each["text"])
        shown = text if len(text) <= _TEXT_CHARACTERS else f"{text[: _TEXT_CHARACTERS - 1]}…"
        style = "up" if each["difference"] > 0 else "down"
        rows.append(
            f"<tr><th scope='row'>{_dot(place_of[each['run']])}{_text(each['run'])}</th>"
            f'<td class="text">{_text(shown)}<small>{_text(each["id"])}</small></td>'
            f"{_cell(columns[1], _four(each['before']))}{_cell(columns[2], _four(each['after']))}"
            f"{_cell(columns[3], _signed(each['difference']), style)}</tr>"
        )
    return _section(
        "Largest wins and losses", f"By {measure}, against {first}.", _table(["run", "query"], columns[1:], rows)
    )


def _pairs(body: EvalResponse) -> str:
    found = body["comparisons"]
    columns = ["mean", "95 % interval", "p", "p (Holm)"]
    rows = [
        f"<tr><th scope='row'>{_text(each['run'])} − {_text(each['against'])}</th>"
        f'<td data-label="measure">{_text(each["measure"])}</td>'
        f"{_cell(columns[0], _signed(each['mean']), _sure(each))}"
        f"{_cell(columns[1], _signed(each['low']) + ' to ' + _signed(each['high']))}"
        f"{_cell(columns[2], _four(each['p']))}{_cell(columns[3], _four(each['p_holm']))}</tr>"
        for each in found[:_PAIRS_MAX]
    ]
    note = "Is a difference chance? Below 0.05, p says that random signs rarely give a mean as large."
    if len(found) > _PAIRS_MAX:
        note += f" {len(found) - _PAIRS_MAX} more are in the output of --json."
    return _section("All pairs", note, _table(["runs", "measure"], columns, rows))


def _settings(body: EvalResponse) -> str:
    columns = ["order", "recall", "candidates", "depth", "reranker", "embedder", "instruction"]
    rows = []
    for place, run in enumerate(body["runs"]):
        setting = run["setting"]
        values = ["a run from elsewhere", *[""] * (len(columns) - 1)]
        if setting is not None:
            name, version = setting["instruction"].get("name"), setting["instruction"].get("version")
            told = setting["instruction_text"] if name is None else f"{name}@{version}: {setting['instruction_text']}"
            candidates = str(setting["candidates"] or "")
            depth = setting["depth"] if candidates else ""
            values = [setting["order"], setting["recall"], candidates, depth, run["reranker"] or ""]
            values += [setting["embedder"], told if candidates else ""]
        cells = "".join(
            f'<td class="text" data-label="{column}">{_text(value)}</td>'
            if column == "instruction" and value
            else f'<td data-label="{column}">{_text(value)}</td>'
            for column, value in zip(columns, values, strict=True)
        )
        rows.append(f"<tr><th scope='row'>{_dot(place)}{_text(run['name'])}</th>{cells}</tr>")
    return _section("Settings", "", _table(["run", *columns], [], rows))


def _method(body: EvalResponse) -> str:
    test = f"{amount(DRAWS)} draws (seed {SEED}), or all patterns of signs where they are fewer"
    return (
        "<footer><p class='soft'>Measures are those of trec_eval; a query without a ranking counts as 0. p is "
        f"that of a two-sided paired randomisation test with {test}. Intervals are a paired bootstrap. "
        "p (Holm) is corrected over all pairs of a measure.</p>"
        "<p class='soft'>Queries were asked one after the other. A stage that a search would skip is not charged."
        f"{_priced(body)} This page loads nothing and runs no script.</p></footer>"
    )


def _priced(body: EvalResponse) -> str:
    price = body["gpu_hour_price"]
    return "" if price is None else f" The cost is the mean time of a query at {price:g} for an hour."


def _section(title: str, note: str, content: str) -> str:
    told = f'<p class="soft">{_text(note)}</p>' if note else ""
    return f"<section><h2>{_text(title)}</h2>{told}{content}</section>\n"


def _card(title: str, note: str, content: str, *, dot: str = "") -> str:
    return f'<figure class="card"><h3>{dot}{_text(title)}</h3><figcaption>{_text(note)}</figcaption>{content}</figure>'


def _table(words: Sequence[str], numbers: Sequence[str], rows: Iterable[str]) -> str:
    heads = [f'<th scope="col">{_text(each)}</th>' for each in words]
    heads += [f'<th scope="col" class="number">{_text(each)}</th>' for each in numbers]
    return f'<table class="rows"><thead><tr>{"".join(heads)}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def _cell(column: str, content: str, style: str = "") -> str:
    return element("td", content, class_=f"number {style}".strip(), data_label=column)


def _dot(place: int) -> str:
    shape = f'<svg class="dot c{place % COLOURS}" viewBox="0 0 12 12" aria-hidden="true">'
    hollow = ' fill="none" stroke-width="3"' if place >= COLOURS else ""
    return f'{shape}<circle cx="6" cy="6" r="4.5"{hollow}/></svg>'


def _against_first(body: EvalResponse, run: str, measure: str) -> EvalComparison | None:
    first = body["runs"][0]["name"]
    wanted = (run, first, measure)
    return next(
        (each for each in body["comparisons"] if (each["run"], each["against"], each["measure"]) == wanted), None
    )


def _first_measure(body: EvalResponse) -> str:
    return next(iter(body["runs"][0]["metrics"]))


def _sure(each: EvalComparison) -> str:
    return "" if each["p_holm"] >= LEVEL else "up" if each["mean"] > 0 else "down"


def _four(value: float) -> str:
    return f"{value:.4f}"


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("-", "−")


def _ms(value: float) -> str:
    return f"{value:.1f}" if value < 10 else amount(round(value))


def _text(value: object) -> str:
    return escape(flat(str(value)))
