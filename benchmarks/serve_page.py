"""What `serve.py` has measured, as a page and a drawing; where a bar is missed, the time is told apart."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

RESULTS = Path(__file__).parent / "results"
BARS = {
    ("4x256", "unmask onnx"): 4.5,
    ("4x256", "unmask int8"): 7.0,
    ("6x384", "unmask onnx"): 2.7,
    ("6x384", "unmask int8"): 4.5,
    ("base", "unmask onnx"): 1.2,
    ("base", "unmask int8"): 2.2,
}
"""How many times as many requests a second we want to answer as the naive server does."""
MOST_ADDED_MS = 3.0
LEAST_GOODPUT = 0.9
"""Share that is answered of the tokens that are sent, or of the best goodput where more is sent than that."""
MOST_REFUSAL_SECONDS = 0.05
WHAT = {"4x256": "fill, 4 x 256", "6x384": "fill, 6 x 384", "base": "classify, base"}
PARTS = ("tokenize", "queue", "inference", "rest of the server", "way and client")

Cell = dict[str, Any]


def write(found: Cell, out: Path) -> None:
    """Write serve.md and serve.svg into ``out``, and print the page."""
    page = render(found)
    (out / "serve.md").write_text(page)
    if any(name.startswith("overload/") for name in found["cells"]):
        draw(found, out / "serve.svg")
    print(page)


def render(found: Cell) -> str:
    """Return the page."""
    settings, cells = found["settings"], found["cells"]
    lines = [
        "# Serving beside a pipeline of transformers",
        "",
        f"`benchmarks/serve.py`, unmask {settings['unmask']}, {settings['processor']},",
        f"{settings['processors']} processors, {settings['rounds']} rounds of {settings['seconds']:g} s (base: twice",
        "that) and a fresh process for each server in each round. Texts of 5 to 250 tokens, as many of each length;",
        "every server gets the same in the same order.",
        "",
        *_speeds(cells),
        *_overhead(cells),
        *_overload(cells, settings["deadline"]),
        *_profiles(cells),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _by_round(cells: Cell, shape: str, server: str, clients: str) -> dict[str, Cell]:
    start = f"speed/{shape}/{server}/{clients}/"
    return {name.removeprefix(start): cell for name, cell in cells.items() if name.startswith(start)}


def _servers(cells: Cell) -> dict[tuple[str, str], list[str]]:
    """Return the servers that were measured, by shape and number of clients, ours first."""
    found: dict[tuple[str, str], list[str]] = {}
    for name in cells:
        kind, *rest = name.split("/")
        if kind == "speed":
            shape, server, clients, _ = rest
            servers = found.setdefault((shape, clients), [])
            if server not in servers:
                servers.append(server)
    order = list(WHAT)
    keys = sorted(found, key=lambda key: (order.index(key[0]), int(key[1])))
    return {key: sorted(found[key], key=lambda server: (not server.startswith("unmask"), server)) for key in keys}


def _speeds(cells: Cell) -> list[str]:
    lines = []
    for (shape, clients), servers in _servers(cells).items():
        lines += [f"## {WHAT[shape]}, {clients} clients", ""]
        lines += ["| server | requests/s | p50, ms | p99, ms | times the naive one | wanted | |"]
        lines += ["| --- | ---: | ---: | ---: | ---: | ---: | --- |"]
        naive = _by_round(cells, shape, "naive", clients)
        for server in servers:
            rounds = _by_round(cells, shape, server, clients)
            speed, p50, p99 = (
                _mean([cell[key] for cell in rounds.values()]) for key in ("requests_per_second", "p50", "p99")
            )
            ratios = [
                rounds[turn]["requests_per_second"] / naive[turn]["requests_per_second"]
                for turn in rounds
                if turn in naive
            ]
            told = f"{_mean(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})" if ratios else ""
            bar = BARS.get((shape, server))
            verdict = _verdict(_mean(ratios) >= bar) if bar and ratios else ""
            lines.append(
                f"| {server} | {speed:.2f} | {1e3 * p50:.0f} | {1e3 * p99:.0f} | {told} | {bar or ''} | {verdict} |"
            )
        lines.append("")
    if "empty" in cells:
        cell = cells["empty"]
        lines += [
            f"The client itself: {cell['requests_per_second']:,.0f} requests/s of a server that does nothing (64",
            f"connections), with {cell['client_share']:.0%} of a processor.",
            "",
        ]
    return lines


def _overhead(cells: Cell) -> list[str]:
    found = {name.split("/")[1]: cell for name, cell in cells.items() if name.startswith("overhead/")}
    if not found:
        return []
    lines = ["## What the server adds, one text at a time", ""]
    lines += ["| | network, ms | over HTTP, ms | added, p50 | added, p90 | wanted, p50 | |"]
    lines += ["| --- | ---: | ---: | ---: | ---: | ---: | --- |"]
    for shape, cell in found.items():
        added = cell["added_ms"]
        lines.append(
            f"| {WHAT[shape]}, onnx | {cell['network_ms']:.2f} | {cell['whole_ms']:.2f} | {added['p50']:.2f} "
            f"| {added['p90']:.2f} | under {MOST_ADDED_MS:g} | {_verdict(added['p50'] < MOST_ADDED_MS)} |"
        )
    return [
        *lines,
        "",
        "By turns, the same text over HTTP and to onnxruntime alone; cutting it into tokens counts as added.",
        "",
    ]


def _levels(cells: Cell) -> dict[float, Cell]:
    names = [name for name in cells if name.startswith("overload/") and name != "overload/capacity"]
    return {float(name.split("/")[1]): cells[name] for name in names}


def _overload(cells: Cell, deadline: float) -> list[str]:
    levels = _levels(cells)
    if not levels:
        return []
    best = max(cell["tokens_per_second"] for cell in levels.values())
    lines = ["## Overload: classify, base, onnx", ""]
    lines += [
        f"Open loop, texts of 5 to 60 tokens, deadline {deadline:g} s. Capacity is what 16 clients in turn get:",
        f"{cells['overload/capacity']['requests_per_second']:.2f} requests/s. Goodput is what is answered with 200 a",
        "second, once the queue has had time to fill.",
        "",
        "![](serve.svg)",
        "",
        "| load | sent/s | goodput/s | tokens/s | of what could be | p99 accepted, s | p99 refused, ms | codes | |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- |",
    ]
    for level, cell in sorted(levels.items()):
        share = cell["tokens_per_second"] / min(best, cell["offered_tokens_per_second"])
        refused, kept = cell["refused_p99"], share >= LEAST_GOODPUT
        in_time = cell["accepted_p99"] is None or cell["accepted_p99"] <= deadline
        quick = refused is None or refused < MOST_REFUSAL_SECONDS
        codes = ", ".join(f"{count} x {code}" for code, count in cell["codes"].items())
        lines.append(
            f"| {level:g} | {cell['offered_per_second']:.2f} | {cell['requests_per_second']:.2f} "
            f"| {cell['tokens_per_second']:.0f} | {share:.0%} | {_or_none(cell['accepted_p99'], 1)} "
            f"| {_or_none(refused, 1e3)} | {codes} | {_verdict(kept and in_time and quick)} |"
        )
    return [*lines, ""]


def _profiles(cells: Cell) -> list[str]:
    """Return where the milliseconds of a request to one of our servers go."""
    found = {
        name: cell["profile"]
        for name, cell in cells.items()
        if "profile" in cell and name.endswith(("/0", "base", "256"))
    }
    if not found:
        return []
    lines = ["## Where the time of a request to ours goes, ms, in the mean of the first round", ""]
    lines += [f"| | {' | '.join(PARTS)} | workers busy | tokens in a batch | padding |"]
    lines += ["| --- |" + " ---: |" * (len(PARTS) + 3)]
    for name, profile in found.items():
        spent = " | ".join(f"{profile[part]:.2f}" for part in PARTS)
        batches = " | | "
        if "workers_busy" in profile:
            batches = f"{profile['workers_busy']:.0%} | {profile['tokens_in_a_batch']:.0f} | {profile['padding']:.0%}"
        lines.append(f"| {' '.join(name.split('/')[:4])} | {spent} | {batches} |")
    return [*lines, ""]


def _mean(values: Sequence[float | None]) -> float:
    there = [value for value in values if value is not None]
    return statistics.mean(there) if there else float("nan")


def _or_none(value: float | None, scale: float) -> str:
    return "" if value is None else f"{scale * value:.3g}"


def _verdict(is_met: bool) -> str:
    return "met" if is_met else "**missed**"


def draw(found: Cell, path: Path) -> None:
    """Write the drawing of the overload to ``path``."""
    mpl.rcParams["svg.hashsalt"] = "serve"
    levels = sorted(_levels(found["cells"]).items())
    offered = [cell["offered_per_second"] for _, cell in levels]
    figure = Figure(figsize=(8, 6), layout="constrained")
    above, below = figure.subplots(2, sharex=True)
    above.plot(offered, [cell["requests_per_second"] for _, cell in levels], marker="o", label="answered in time")
    above.plot(offered, offered, linestyle=":", color="grey", label="sent")
    above.set_ylim(0, 2 * max(cell["requests_per_second"] for _, cell in levels))
    above.set_ylabel("requests a second")
    for key, label in (("accepted_p99", "accepted, p99"), ("refused_p99", "refused, p99")):
        points = [(rate, cell[key]) for rate, (_, cell) in zip(offered, levels, strict=True) if cell[key] is not None]
        below.plot([rate for rate, _ in points], [seconds for _, seconds in points], marker="o", label=label)
    below.axhline(found["settings"]["deadline"], linestyle=":", color="grey", label="deadline")
    below.set_yscale("log")
    below.set_ylabel("seconds")
    below.set_xlabel("requests sent a second")
    for axes in (above, below):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, metadata={"Date": None})
