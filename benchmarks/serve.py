"""Serving beside what a user would otherwise pick: the same model, texts and machine, each server a process of its own.

Run: .venv/bin/python benchmarks/serve.py --corpus DIR --models DIR [--litserve PYTHON] [--seconds 5 --rounds 3].
--models is where the models are made and kept; PYTHON is that of an environment which has litserve, torch and
transformers. One server runs at a time, in a new order each round, and is asked until all that was asked is answered:
the rate is all of that over all of the time. What is measured is kept in results/serve.json cell by cell, so that a run
which was cut short goes on where it was; with other settings it begins anew. What bites: client and server share the
processors.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import re
import statistics
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import serve_load as load  # type: ignore[import-not-found]  # beside this file
import serve_made as made  # type: ignore[import-not-found]
import serve_page  # type: ignore[import-not-found]
from serve_started import OURS, PEERS, route, started  # type: ignore[import-not-found]

import unmask
from unmask import files
from unmask.host import processor_name, usable_threads
from unmask.inference.asks import answers
from unmask.inference.loading import engine_of
from unmask.inference.resolve import resolve

MIXED, SHORT = (5, 250), (5, 60)
"""Tokens of a text: of the speeds, and of the overload, where there have to be many requests a second."""
CLIENTS = {"4x256": (16, 64), "6x384": (16, 64), "base": (16,)}
WARM = 8
DEADLINE = 4.0
LEVELS = (0.5, 1.0, 2.0, 5.0)

Cell = dict[str, Any]


@dataclass(frozen=True)
class Group:
    """Cells that are measured on one start of one server."""

    cells: tuple[str, ...]
    server: str
    shape: str
    measure: Callable[[str, int], Cell]
    options: tuple[str, ...] = ()


class Bench:
    """What was chosen, and what was measured so far."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        self.chosen, self.out = chosen, chosen.out / "serve.json"
        self.texts = {
            (low, high, task): made.texts(chosen.corpus, low, high, mask=task == "fill", seed=0)
            for low, high, task in ((*MIXED, "fill"), (*MIXED, "classify"), (*SHORT, "classify"))
        }
        self.models = {shape: made.model(chosen.models, chosen.corpus, shape) for shape in made.SHAPES}
        settings = {
            "unmask": unmask.__version__,
            "processor": processor_name(),
            "processors": usable_threads(),
            "machine": platform.machine(),
            "seconds": chosen.seconds,
            "rounds": chosen.rounds,
            "deadline": DEADLINE,
            "levels": list(LEVELS),
        }
        kept = json.loads(self.out.read_text()) if self.out.exists() else {}
        self.found = kept if kept.get("settings") == settings else {"settings": settings, "cells": {}}
        self.cells: dict[str, Cell] = self.found["cells"]

    def groups(self) -> list[Group]:
        """Return all that is to be measured, the first round of each part first."""
        first, others = [Group(("empty",), "empty", "4x256", self.client)], list[Group]()
        for turn in range(self.chosen.rounds):
            groups = [self._speed(shape, server, turn) for shape in made.SHAPES for server in (*OURS, *PEERS)]
            if not self.chosen.litserve:
                groups = [group for group in groups if group.server != "litserve"]
            random.Random(turn).shuffle(groups)
            (others if turn else first).extend(groups)
        first += [Group((f"overhead/{shape}",), "unmask onnx", shape, self.overhead) for shape in ("4x256", "base")]
        names = ("overload/capacity", *(f"overload/{level:g}" for level in LEVELS))
        options = ("--deadline-ms", str(round(1000 * DEADLINE)))
        return [*first, Group(names, "unmask onnx", "base", self.overload, options), *others]

    def _speed(self, shape: str, server: str, turn: int) -> Group:
        names = tuple(f"speed/{shape}/{server}/{clients}/{turn}" for clients in CLIENTS[shape])
        patient = ("--deadline-ms", "60000") if server in OURS else ()  # as the others are
        return Group(names, server, shape, self.speed, patient)

    def run(self) -> None:
        """Measure what is not there yet."""
        start = time.perf_counter()
        for group in self.groups():
            if all(name in self.cells for name in group.cells):
                continue
            model, task = self.models[group.shape], made.TASKS[group.shape]
            with started(group.server, model, task, self.chosen.litserve, group.options) as port:
                for name in group.cells:
                    if name not in self.cells:
                        self.cells[name] = group.measure(name, port)
                        files.write_json(self.out, self.found)
                        print(f"{time.perf_counter() - start:6.0f} s  {name:40} {_line(self.cells[name])}", flush=True)

    def work(self, server: str, task: str, lengths: tuple[int, int], seed: int) -> Iterator[Any]:
        """Return requests of texts of ``lengths`` tokens, the same for every server."""
        found: Iterator[Any] = made.requests(self.texts[*lengths, task], route(server, task), seed)
        return found

    def client(self, _: str, port: int) -> Cell:
        """Return what the client does where the server does nothing."""
        found, share = load.run(load.in_turn(port, self.work("empty", "fill", MIXED, 0), 64, 2.0))
        return {**_seen(found), "client_share": share}

    def speed(self, name: str, port: int) -> Cell:
        """Return how fast one server answers so many clients."""
        _, shape, server, clients, turn = name.split("/")
        task, seconds = made.TASKS[shape], self.chosen.seconds * (2 if shape == "base" else 1)
        work = self.work(server, task, MIXED, int(turn))
        load.run(load.in_turn(port, work, WARM, 0.1))
        before = _counted(port) if server in OURS else {}
        found, share = load.run(load.in_turn(port, work, int(clients), seconds))
        cell = {**_seen(found), "client_share": share}
        if server in OURS:
            cell["profile"] = _profile(found, before, _counted(port))
        return cell

    def overhead(self, name: str, port: int) -> Cell:
        """Return what the server adds to the network alone, one text at a time, by turns with it."""
        shape = name.split("/")[1]
        task, found = made.TASKS[shape], resolve(self.models[shape])
        engine, ordinary = engine_of(found, "onnx", 1), found.vocabulary.ordinary_ids
        predictor = unmask.load(self.models[shape], "onnx")
        work = self.work("unmask onnx", task, MIXED, 0)
        client, pairs = load.Client(port), list[tuple[float, float]]()

        async def by_turns() -> list[Any]:
            said = []
            for asked in [next(work) for _ in range(200 if shape == "4x256" else 24)]:
                said.append(await client.ask(asked, time.perf_counter()))
                asks = _asks(predictor, task, asked.body["inputs"])
                start = time.perf_counter()
                answers(engine, asks, ordinary)
                pairs.append((said[-1].seconds, time.perf_counter() - start))
            return said

        said, _ = load.run(by_turns())
        assert {one.code for one in said} == {200}
        added = [1e3 * (whole - alone) for whole, alone in pairs]
        return {
            "n": len(pairs),
            "whole_ms": 1e3 * statistics.median(whole for whole, _ in pairs),
            "network_ms": 1e3 * statistics.median(alone for _, alone in pairs),
            "added_ms": {"p50": statistics.median(added), "p90": load.quantile(added, 0.9)},
            "profile": _spent(said),
        }

    def overload(self, name: str, port: int) -> Cell:
        """Return what is answered, and when, at a multiple of what can be."""
        level, work = name.split("/")[1], self.work("unmask onnx", "classify", SHORT, 0)
        load.run(load.in_turn(port, work, WARM, 1.0))
        seconds = 4 * self.chosen.seconds
        if level == "capacity":
            found, _ = load.run(load.in_turn(port, work, 16, seconds))
            return _seen(found)
        rate = float(level) * self.cells["overload/capacity"]["requests_per_second"]
        found, _ = load.run(load.arriving(port, work, rate, seconds, random.Random(level)))
        begin = min(one.due for one in found)
        well, refused = ([one.seconds for one in found if one.code == code] for code in (200, 429))
        return {
            "offered_per_second": rate,
            "offered_tokens_per_second": sum(one.tokens for one in found) / seconds,
            **load.rates(found, begin + min(DEADLINE, seconds / 2), begin + seconds),
            "codes": _codes(found),
            "accepted_p99": load.quantile(well, 0.99),
            "refused_p99": load.quantile(refused, 0.99),
            "slowest": max(one.seconds for one in found),
        }


def _asks(predictor: Any, task: str, text: str) -> list[Any]:
    """Return what the network is asked about ``text``."""
    question = predictor.filling([text]) if task == "fill" else predictor.classifying([text])
    return list(next(question))


def _seen(found: list[Any]) -> Cell:
    """Return rates and times of requests that began at once and have all ended."""
    begin, end = min(one.due for one in found), max(one.at for one in found)
    taken = [one.seconds for one in found if one.code == 200]
    return {
        **load.rates(found, begin, end),
        "p50": load.quantile(taken, 0.5),
        "p99": load.quantile(taken, 0.99),
        "n": len(found),
        "codes": _codes(found),
    }


def _codes(found: list[Any]) -> dict[str, int]:
    codes = [one.code for one in found]
    return {str(code): codes.count(code) for code in sorted(set(codes))}


def _spent(found: list[Any]) -> dict[str, float]:
    """Return where the milliseconds of a request go, as the server tells and the client sees, in the mean."""
    well = [one for one in found if one.code == 200]
    parts = {part: statistics.mean(one.timing[part] for one in well) for part in ("tokenize", "queue", "inference")}
    total = statistics.mean(one.timing["total"] for one in well)
    whole = 1e3 * statistics.mean(one.seconds for one in well)
    return {**parts, "rest of the server": total - sum(parts.values()), "way and client": whole - total}


def _counted(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {name: float(value) for name, value in re.findall(r"^(unmask_\w+)(?:\{[^}]*\})? (\S+)$", text, re.MULTILINE)}


def _profile(found: list[Any], before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Return where the time went, and how the batches were."""
    change = {name: value - before.get(name, 0.0) for name, value in after.items()}
    batches = max(1.0, change["unmask_batch_tokens_count"])
    wall = max(one.at for one in found) - min(one.due for one in found)
    return {
        **_spent(found),
        "workers_busy": change["unmask_inference_duration_seconds_sum"] / wall / usable_threads(),
        "tokens_in_a_batch": change["unmask_batch_tokens_sum"] / batches,
        "padding": change["unmask_batch_padding_ratio_sum"] / batches,
    }


def _line(cell: Cell) -> str:
    return ", ".join(f"{key} {value:.4g}" for key, value in cell.items() if isinstance(value, float))


def main() -> None:
    """Measure, and write results/serve.json, .md and .svg."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--litserve", type=Path, help="the python of an environment that has litserve")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=serve_page.RESULTS)
    chosen = parser.parse_args()
    bench = Bench(chosen)
    try:
        bench.run()
    finally:
        serve_page.write(bench.found, chosen.out)


if __name__ == "__main__":
    main()
