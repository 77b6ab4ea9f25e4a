"""Pre-training beside what a user would otherwise pick: the Trainer of transformers, on the same text and tokenizer.

Run: .venv/bin/python benchmarks/pretrain.py --corpus DIR --speed [--rounds 10 --steps 5], and then
.venv/bin/python benchmarks/pretrain.py --corpus DIR --quality --seconds 600 [--peers a,b] [--rate NAME=RATE], as often
as wanted: runs are kept by network, seconds and rate. With neither, the page is written anew of what is there. Speed is
measured in blocks of steps that every network takes in turn, in a new order each round, each in a process of its own;
ratios are taken within a round. Quality is cross entropy at [MASK] on one frozen set, every network converted to ours
to be measured, against its seconds of training; measuring is off the clock. How many steps the seconds pay for is found
by a few timed ones, and the schedule is that long.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import random
import statistics
from collections.abc import Sequence
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch
import transformers
from matplotlib.figure import Figure
from peers import PEERS, work  # type: ignore[import-not-found]  # beside this file

import unmask
from unmask.host import usable_threads

RESULTS = Path(__file__).parent / "results"
OURS = ("unmask", "unmask-compiled")
WARM = 4
BARS = {"bert-defaults": 3.0, "bert-tuned": 1.8, "modernbert": 1.15, "modernbert-compiled": 1.15}
"""How many times as fast we want to be, real tokens a second."""

LAYOUT = """\
The peers' text is laid out as run_mlm does it: documents with [CLS] and [SEP], end to end, cut every 128 tokens, so it
has no padding and documents see each other; ours are packed rows of 128 in which they do not. Tokens are those that are
not padding, [CLS] and [SEP] among them. The peers hide 15 % and ours 30 %, each as it comes; modernbert-best hides 30 %
too. The peers' mask of special tokens is made beforehand and their texts are in memory, which run_mlm does not do.
"""


def started(
    chosen: argparse.Namespace, name: str, quality: dict[str, int]
) -> tuple[Connection, multiprocessing.process.BaseProcess]:
    """Start the process of a network and return the pipe to it."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    rates = dict(pair.split("=") for pair in chosen.rate)
    rate = float(rates[name]) if name in rates else None
    words = (there, chosen.corpus, name, rate, chosen.settings, chosen.threads, quality)
    process = context.Process(target=work, args=words)
    process.start()
    there.close()
    return here, process


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median and the middle 80 %."""
    ordered = sorted(values)
    edge = len(ordered) // 10
    return {"median": statistics.median(ordered), "low": ordered[edge], "high": ordered[-1 - edge]}


def speed(chosen: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    """Run blocks of steps of all networks in turn."""
    pipes = {name: started(chosen, name, {}) for name in names}
    before = {name: pipe.recv()["memory"] for name, (pipe, _) in pipes.items()}
    blocks: dict[str, list[dict[str, float]]] = {name: [] for name in names}

    def block(name: str, steps: int) -> dict[str, float]:
        pipe, _ = pipes[name]
        pipe.send(steps)
        told: dict[str, float] = pipe.recv()
        return {**told, "steps": steps}

    for name in names:
        warm = block(name, WARM)
        print(f"{name}: first {WARM} steps {warm['seconds']:.1f} s")
    order = list(names)
    for number in range(chosen.rounds):
        random.Random(number).shuffle(order)
        for name in order:
            blocks[name].append(block(name, chosen.steps))
        print(f"round {number + 1}: " + ", ".join(f"{n} {per_second(blocks[n][-1]):,.0f}" for n in names), flush=True)
    found = {}
    for name in names:
        pipe, process = pipes[name]
        pipe.send(0)
        machine = pipe.recv()
        process.join()
        found[name] = {
            "tokens_per_second": spread([per_second(told) for told in blocks[name]]),
            "step_milliseconds": spread([1e3 * told["seconds"] / told["steps"] for told in blocks[name]]),
            "processor_milliseconds": spread([1e3 * told["processor"] / told["steps"] for told in blocks[name]]),
            "memory_megabytes": {"before": before[name] / 1e6, "peak": blocks[name][-1]["memory"] / 1e6},
            "blocks": blocks[name],
            **machine,
        }
        if machine["flops"]:
            step = min(told["seconds"] / told["steps"] for told in blocks[name])
            middle = found[name]["step_milliseconds"]["median"] / 1e3
            found[name]["utilisation"] = {
                "best": machine["flops"] / step / machine["peak"],
                "median": machine["flops"] / middle / machine["peak"],
            }
    return {
        **about(chosen),
        "rounds": chosen.rounds,
        "steps": chosen.steps,
        "networks": found,
        "ratios": ratios(blocks),
    }


def per_second(told: dict[str, float]) -> float:
    """Return the tokens a second of a block."""
    return told["tokens"] / told["seconds"]


def ratios(blocks: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Return how many times as fast ours are as each peer, within rounds."""
    return {
        f"{mine} against {peer}": spread(
            [per_second(one) / per_second(other) for one, other in zip(blocks[mine], blocks[peer], strict=True)]
        )
        for mine in OURS
        for peer in BARS
        if mine in blocks and peer in blocks
    }


def about(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return what was run where."""
    return {
        "unmask": unmask.__version__,
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "machine": platform.machine(),
        "threads": chosen.threads,
        "settings": chosen.settings,
    }


def quality(chosen: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    """Train each network for some seconds, one after the other, and return the curves, earlier ones among them."""
    kept = stored("pretrain-quality.json").get("runs", {})
    for name in names:
        pipe, process = started(
            chosen, name, {"seconds": chosen.seconds, "marks": chosen.marks, "documents": chosen.documents}
        )
        run = pipe.recv()
        process.join()
        kept[f"{name}, {chosen.seconds} s at {run['rate']:g}"] = {"name": name, "seconds": chosen.seconds, **run}
        last = run["points"][-1]
        print(f"{name}: {last['masked']:.3f} after {last['seconds']:.0f} s, {run['steps']} steps", flush=True)
        (RESULTS / "pretrain-quality.json").write_text(json.dumps({**about(chosen), "runs": kept}, indent=1) + "\n")
    return {**about(chosen), "runs": kept}


def reached(points: list[dict[str, float]], target: float) -> float | None:
    """Return the seconds at which a curve first falls to ``target``, on straight lines between its points."""
    for before, after in pairwise(points):
        if after["masked"] <= target:
            share = (before["masked"] - target) / max(1e-9, before["masked"] - after["masked"])
            return before["seconds"] + max(0.0, share) * (after["seconds"] - before["seconds"])
    return None


def stored(name: str) -> dict[str, Any]:
    """Return an earlier result, or nothing."""
    path = RESULTS / name
    return json.loads(path.read_text()) if path.is_file() else {}


def page(fast: dict[str, Any], good: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    lines = ["# Pre-training beside the Trainer of transformers", "", LAYOUT]
    if fast:
        lines += [
            f"## Speed, {fast['rounds']} rounds of {fast['steps']} steps, {fast['threads']} threads",
            "",
            "| 4 x 256 | real tokens a second | step, ms | processor, ms | peak memory, MB | utilisation |",
            "| --- | ---: | ---: | ---: | ---: | ---: |",
        ]
        for name, of in fast["networks"].items():
            rate, used = of["tokens_per_second"], f"{of['utilisation']['median']:.0%}" if "utilisation" in of else ""
            lines.append(
                f"| {name} | {rate['median']:,.0f} ({rate['low']:,.0f} to {rate['high']:,.0f}) "
                f"| {of['step_milliseconds']['median']:.0f} | {of['processor_milliseconds']['median']:.0f} "
                f"| {of['memory_megabytes']['peak']:,.0f} | {used} |"
            )
        lines += ["", "| ours against | times as fast | middle 80 % | wanted |", "| --- | ---: | ---: | ---: |"]
        for name, of in fast["ratios"].items():
            wanted = BARS[name.rpartition(" ")[2]]
            lines.append(f"| {name} | {of['median']:.2f} | {of['low']:.2f} to {of['high']:.2f} | {wanted} |")
        lines.append("")
    if good:
        lines += ["## Cross entropy at [MASK] against seconds of training", "", "![](pretrain.svg)", ""]
        chosen, others = _by_rate(good)
        mine = {name: run for name, run in chosen.items() if run["name"] in OURS}
        lines += [
            "| run | steps | at its end | " + " | ".join(mine) + " |",
            "| --- | ---: | ---: |" + " ---: |" * len(mine),
        ]
        for name, run in chosen.items():
            last = run["points"][-1]["masked"]
            there = [reached(each["points"], last) for each in mine.values()]
            cells = " | ".join("never" if second is None else f"after {second:.0f} s" for second in there)
            lines.append(f"| {name} | {run['steps']} | {last:.3f} | {cells} |")
        lines += ["", "The last columns: when our run is as good as the run of the line is at its end."]
        tried = [f"- {name}: {run['points'][-1]['masked']:.3f}" for name, run in others.items()]
        lines += ["Other rates that were tried, and their ends:", "", *tried, ""] if tried else [""]
    return "\n".join(lines)


def _by_rate(good: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the runs at the best rate for their network and seconds, and the other runs."""
    best: dict[tuple[str, int], str] = {}
    for name, run in sorted(good["runs"].items(), key=lambda pair: pair[1]["points"][-1]["masked"]):
        best.setdefault((run["name"], run["seconds"]), name)
    runs = good["runs"]
    return {n: runs[n] for n in runs if n in best.values()}, {n: runs[n] for n in runs if n not in best.values()}


def draw(good: dict[str, Any]) -> None:
    """Write results/pretrain.svg."""
    mpl.rcParams["svg.hashsalt"] = "pretrain"
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, run in _by_rate(good)[0].items():
        points = run["points"]
        axes.plot([p["seconds"] for p in points], [p["masked"] for p in points], marker=".", label=name)
    axes.set_xlabel("seconds of training")
    axes.set_ylabel("cross entropy at [MASK], nats")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(RESULTS / "pretrain.svg", metadata={"Date": None})


def main() -> None:
    """Measure what is asked for, and write results/pretrain.md of all that is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--quality", action="store_true")
    parser.add_argument("--peers", default=",".join(PEERS), help="names, with commas between")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=5, help="steps in a block")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--marks", type=int, default=20, help="how often quality is measured on the way")
    parser.add_argument("--documents", type=int, default=300, help="held-out documents that it is measured on")
    parser.add_argument("--rate", action="append", default=[], metavar="NAME=RATE")
    parser.add_argument("--threads", type=int, default=usable_threads())
    parser.add_argument("settings", nargs="*", metavar="group.key=value", help="of ours")
    chosen = parser.parse_args()
    names = chosen.peers.split(",")
    if chosen.speed:
        (RESULTS / "pretrain-speed.json").write_text(json.dumps(speed(chosen, names), indent=1) + "\n")
    if chosen.quality:
        quality(chosen, names)
    fast, good = stored("pretrain-speed.json"), stored("pretrain-quality.json")
    (RESULTS / "pretrain.md").write_text(page(fast, good))
    if good:
        draw(good)
    print(page(fast, good))


if __name__ == "__main__":
    main()
