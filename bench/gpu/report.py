"""Formats the rows of a `bench.gpu.rerank` run as a table and compares them with the targets."""

from __future__ import annotations

from statistics import median
from typing import Any, Final

from bench.gpu.rows import Rows

PHASES: Final = ("tried", "measured")
DESIGN_TFLOPS: Final = 790.0  # assumed for the floor in design.md; used if no GPU was measured


def as_text(rows: Rows) -> str:
    return "\n".join([*_head(rows), *_one(rows), *_many(rows), *_tenants(rows), *_bars(rows)])


def floor_ms(rows: Rows, tokens: int, *, tflops: float) -> float:
    """Lower bound: every layer weight meets every token once, in two operations; attention and head are ignored."""
    return 2e3 * rows.of("run")[0]["arguments"]["layer_weights"] * tokens / (tflops * 1e12)


def tflops_of(rows: Rows, number: str) -> float:
    card = rows.of("card")
    return float(card[0].get(f"{number}_tflops", DESIGN_TFLOPS)) if card else DESIGN_TFLOPS


def _head(rows: Rows) -> list[str]:
    lines = [str(row) for kind in ("card", "vllm") for row in rows.of(kind)]
    for row in rows.of("server"):
        started = f"{row['seconds']:.0f} s" if row["seconds"] else f"DID NOT START: {row['log']}"
        lines.append(f"started {row['server']}: {started}")
    compared = rows.of("compared")
    if compared:
        agreeing = sum(row["tokens_agree"] for row in compared)
        apart = max(row["apart"] for row in compared)
        spread = max(row["highest"] - row["lowest"] for row in compared)
        lines.append(
            f"same request to all ways: tokens agree in {agreeing} of {len(compared)}; scores differ by at most "
            f"{apart:.1e}, and spread over {spread:.1e}"
        )
    lines += [f"FAILED {row}" for row in rows.of("failed")]
    for kind, field in (("one", "tokens_agree"), ("one", "only_shared_was_cached"), ("many", "tokens_agree")):
        wrong = [row for row in rows.of(kind) if not row[field]]
        lines += [f"NOT {field}: {len(wrong)} rows of kind {kind}, {wrong[0]}"] if wrong else []
    return lines


def _settings(rows: list[dict[str, Any]]) -> list[tuple[str, str, str | None]]:
    return list(dict.fromkeys((row["server"], row["way"], row["slice"]) for row in rows))


def _lengths(rows: list[dict[str, Any]]) -> list[int]:
    return sorted({row["length"] for row in rows})


def _one(rows: Rows) -> list[str]:
    lines = []
    for phase in PHASES:
        found = rows.of("one", phase=phase)
        for length in _lengths(found):
            lines.append(
                f"\none at a time, {phase}, {length} tokens: p50 ms (rounds), docs/s, floor/p50, vLLM's own means: "
                "an input's life, queue, prefill ms; cached"
            )
            for server, way, size in _settings(found):
                here = rows.of("one", phase=phase, length=length, server=server, way=way, slice=size)
                if here:
                    lines.append(_one_line(rows, here, f"{server:16} {way:8} {size or '':>11}"))
    return lines


def _one_line(rows: Rows, here: list[dict[str, Any]], name: str) -> str:
    p50 = median(row["ms"] for row in here)
    documents = here[0]["documents"]
    floor = floor_ms(rows, here[0]["tokens"], tflops=tflops_of(rows, "bf16"))
    means = [median(row["vllm"][each] for row in here) for each in ("e2e_ms", "queue_ms", "prefill_ms")]
    cached = median(row["vllm"]["tokens_cached"] / max(row["vllm"]["tokens_looked_up"], 1) for row in here)
    times = f"{p50:8.1f} ({len(here):2}) {documents / p50 * 1e3:7.0f} {floor / p50:6.1%}"
    return f"{name} {times}   " + " ".join(f"{mean:7.1f}" for mean in means) + f" {cached:6.1%}"


def _many(rows: Rows) -> list[str]:
    found = rows.of("many")
    lines = []
    for length in _lengths(found):
        lines.append(f"\n{found[0]['requests']} at once, {length} tokens: docs/s (rounds), p50 ms of a request, floor")
        for server, way, size in _settings(found):
            here = rows.of("many", length=length, server=server, way=way, slice=size)
            if not here:
                continue
            rate = median(row["documents"] / row["seconds"] for row in here)
            p50 = median(ms for row in here for ms in row["ms"])
            floor = floor_ms(rows, here[0]["tokens"], tflops=tflops_of(rows, "bf16"))
            share = floor / median(1e3 * row["seconds"] for row in here)
            name = f"{server:16} {way:8} {size or '':>11}"
            lines.append(f"{name} {rate:8.0f} ({len(here):2}) {p50:8.1f} {share:6.1%}")
    return lines


def _tenants(rows: Rows) -> list[str]:
    """Compare several tenants in turn with one tenant, same number of requests at once."""
    lines = []
    for length in _lengths(rows.of("tenants")):
        for server, way, size in _settings(rows.of("tenants", length=length)):
            here = {"length": length, "server": server, "way": way, "slice": size}
            several, one = (
                median(row["documents"] / row["seconds"] for row in rows.of(kind, **here))
                for kind in ("tenants", "many")
            )
            first = median(min(row["ms"]) for row in rows.of("tenants", **here))
            found = f"{several:.0f} docs/s, {several / one - 1:+.1%} beside one tenant"
            lines.append(
                f"{server} {way}, {length} tokens, tenants in turn: {found}; first answer after {first:.0f} ms"
            )
    return lines


def _bars(rows: Rows) -> list[str]:
    """Compare each with the strictest opponent: the fastest stock in bf16, of all settings measured."""
    lines = ["\nbars"]
    for length in _lengths(rows.of("one", phase="measured")):
        floor = floor_ms(rows, rows.of("one", length=length)[0]["tokens"], tflops=tflops_of(rows, "bf16"))
        floor8 = floor_ms(rows, rows.of("one", length=length)[0]["tokens"], tflops=tflops_of(rows, "fp8"))
        lines.append(f"{length} tokens: floor {floor:.1f} ms in bf16, {floor8:.1f} ms in fp8")
        ones = _p50s(rows, "one", length)
        many = _p50s(rows, "many", length)
        stock = min((ms for (server, way), ms in ones.items() if way == "stock" and _is_bf16(server)), default=None)
        stock16 = min((ms for (server, way), ms in many.items() if way == "stock" and _is_bf16(server)), default=None)
        for (server, way), ms in ones.items():
            if not way.startswith("winnow"):
                continue
            said = [f"{server} {way} {ms:.1f} ms, {floor / ms:.1%} of the bf16 floor"]
            said += [f"{stock / ms:.2f}x stock bf16 one at a time"] if stock else []
            bare = ones.get((server, "bare"))
            said += [f"{ms / bare - 1:+.1%} over bare"] if bare else []
            said += (
                [f"{stock16 / many[server, way]:.2f}x stock bf16 at once"] if stock16 and (server, way) in many else []
            )
            own = many.get((server, "bare"))
            said += [f"{many[server, way] / own - 1:+.1%} over bare at once"] if own and (server, way) in many else []
            lines.append("  " + ", ".join(said))
    return lines


def _is_bf16(server: str) -> bool:
    return server.startswith("bf16")


def _p50s(rows: Rows, kind: str, length: int) -> dict[tuple[str, str], float]:
    """Milliseconds by server and way: per request, or for all concurrent requests."""
    found = rows.of(kind, length=length, phase="measured") if kind == "one" else rows.of(kind, length=length)
    times: dict[tuple[str, str], list[float]] = {}
    for row in found:
        times.setdefault((row["server"], row["way"]), []).append(row["ms"] if kind == "one" else 1e3 * row["seconds"])
    return {setting: median(each) for setting, each in times.items()}
