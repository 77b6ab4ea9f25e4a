"""False alarms a month against days until a shift is noticed, on simulated traffic.

Run: .venv/bin/python benchmarks/alarms.py [--references 200] [--months 5] [--kinds iid,heavy,weekly]. Every reference
is eight weeks of its own, a window is a day, and months of healthy traffic follow it; then the same reference meets
three shifts. Results go to benchmarks/results/alarms.{json,md}. Beside our alarms the rule that Evidently documents is
applied to the same windows: a column drifts at p < 0.05 (Kolmogorov and Smirnov; chi-squared for classes) up to 1,000
rows, and at a distance above 0.1 (Wasserstein over the standard deviation; Jensen and Shannon) beyond. It is also given
the threshold at which it notices the first shift as often as ours does. The rule is computed here, Evidently is not
run.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import chi2, kstwobign

from unmask.stats.figure import bootstrap, mean_of
from unmask.watch.alarms import AlarmSettings, Wealth
from unmask.watch.baseline import Baseline
from unmask.watch.features import Sums
from unmask.watch.rhythm import DAY
from unmask.watch.selftest import alarms_of
from unmask.watch.window import CLASSES, NUMBERS, Floats, Window

RESULTS = Path(__file__).parent / "results"
WEEKS, LOOKED_FOR = 8, 30
ANYTIME_DAYS = 60
"""Days that are bet on one after the other, which costs more than judging them."""
SIZES = (200, 1000, 5000)
NAMES = ("confidence", "entropy", "tokens", "unknown_share", "latency_ms")
LABELS = np.array(["a", "b", "c", "d"])
MONDAY = 4 * DAY
CHANCE = np.random.Generator


@dataclass(frozen=True)
class Shift:
    """What becomes of traffic: a ``share`` of the requests moves by ``by`` standard deviations and to class d."""

    share: float
    by: float
    relabelled: float


SHIFTS = {
    "a tenth of other texts": Shift(0.1, 1.5, 1.0),
    "all numbers a little higher": Shift(1.0, 0.15, 0.0),
    "one label in ten more": Shift(0.1, 0.0, 1.0),
}


def day_effects(chance: CHANCE, kind: str, days: int, rows: int) -> tuple[Floats, Floats]:
    """Return (days, rows) what all signals of a request share, and (days,) the share of a second source."""
    first = np.full(days, 0.25)
    if kind != "weekly":
        return np.zeros((days, rows)), first
    daily, hourly = np.empty(days), np.empty(days * 24)
    daily[0], hourly[0] = chance.standard_normal(2)
    for place, noise in enumerate(chance.standard_normal(days - 1), start=1):
        daily[place] = 0.5 * daily[place - 1] + np.sqrt(0.75) * noise
    for place, noise in enumerate(chance.standard_normal(len(hourly) - 1), start=1):
        hourly[place] = 0.8 * hourly[place - 1] + 0.6 * noise
    hours = np.sort(chance.integers(24, size=(days, rows)), axis=1)
    shared = 0.1 * daily[:, None] + 0.2 * np.take_along_axis(hourly.reshape(days, 24), hours, axis=1)
    return shared, np.where(np.arange(days) % 7 >= 5, 0.5, 0.2)


def traffic(chance: CHANCE, kind: str, days: int, rows: int) -> tuple[list[Floats], np.ndarray[Any, Any]]:
    """Return five numbers of each request (days, rows) before a shift, in standard deviations, and classes."""
    shared, second = day_effects(chance, kind, days, rows)
    shape = (days, rows)
    of_second = chance.random(shape) < second[:, None]
    base = 0.5 * chance.standard_normal(shape) + shared + 0.6 * of_second
    numbers = [base + 0.8 * chance.standard_normal(shape) for _ in NAMES]
    cut = np.clip((chance.random(shape) + 0.15 * of_second + 0.1 * shared) * 4, 0, 3.999)
    return numbers, cut.astype(np.int64)


def window_of(
    chance: CHANCE, kind: str, numbers: list[Floats], classes: np.ndarray[Any, Any], first_day: int, shift: Shift | None
) -> Window:
    """Return the requests as signals on their own scales, after a shift."""
    days, rows = classes.shape
    if shift is not None:
        moved = chance.random(classes.shape) < shift.share
        numbers = [one + moved * shift.by for one in numbers]
        classes = np.where(moved & (chance.random(classes.shape) < shift.relabelled), 3, classes)
    sure, unsure, long, rare, slow = numbers
    heavy = kind == "heavy"
    of_name = {
        "confidence": 1 / (1 + np.exp(sure - 1)),
        "entropy": np.exp(0.5 * unsure),
        "tokens": np.floor(np.exp((1.5 if heavy else 0.6) * long + 3)),
        "unknown_share": np.where(rare > 1.6, rare, 0.0) if heavy else np.maximum(rare, 0.0),
        "latency_ms": np.exp((2.0 if heavy else 0.5) * slow),
    }
    time = (MONDAY + DAY * (first_day + np.arange(days)))[:, None] + np.linspace(0, DAY - 1, rows)
    nothing, flat = np.full(days * rows, np.nan), {name: one.ravel() for name, one in of_name.items()}
    return Window(
        time=time.ravel(),
        numbers={name: flat.get(name, nothing) for name in NUMBERS},
        classes={
            name: LABELS[classes.ravel()] if name == "prediction" else np.full(days * rows, "") for name in CLASSES
        },
    )


def sums_by_day(baseline: Baseline, window: Window, days: int) -> Sums:
    """Return the sums of each of the ``days`` of ``window``."""
    return baseline.features.sums(window, np.repeat(np.arange(days), len(window) // days), days)


class Documented:
    """Evidently's rule: for each column how far beyond its threshold, in one number that is 1 at the threshold."""

    def __init__(self, reference: Window, rows: int) -> None:
        self._rows, self._small = rows, rows <= 1000
        self._sorted = {name: np.sort(reference.numbers[name]) for name in NAMES}
        self._spread = {name: max(float(one.std()), 1e-3) for name, one in self._sorted.items()}
        self._share = (reference.classes["prediction"][:, None] == LABELS).mean(0)
        self._count = len(reference)

    def strength(self, window: Window, days: int) -> Floats:
        """Return (days, columns): above 1 a column has drifted."""
        found = [self._of_number(name, window.numbers[name].reshape(days, -1)) for name in NAMES]
        counts = (window.classes["prediction"].reshape(days, -1)[..., None] == LABELS).sum(1)
        return np.stack([*found, self._of_class(counts)], axis=1)

    def _of_number(self, name: str, values: Floats) -> Floats:
        known, count = self._sorted[name], values.shape[1]
        ordered = np.sort(values, axis=1)
        if not self._small:
            places = ((np.arange(count) + 0.5) / count * self._count).astype(np.int64)
            return np.abs(ordered - known[places]).mean(1) / self._spread[name] / 0.1
        above = np.searchsorted(known, ordered, "right") / self._count
        below = np.searchsorted(known, ordered, "left") / self._count
        steps = np.arange(count + 1) / count
        tied = np.stack([self._tied(row, steps) for row in ordered])  # (days, 2, count) own shares below and up to
        far = np.maximum(np.abs(above - tied[:, 1]), np.abs(below - tied[:, 0])).max(1)
        scale = np.sqrt(self._count * count / (self._count + count))
        return np.asarray(-np.log(np.maximum(kstwobign.sf(far * scale), 1e-300)) / -np.log(0.05))

    @staticmethod
    def _tied(row: Floats, steps: Floats) -> Floats:
        return np.stack([steps[np.searchsorted(row, row, side)] for side in ("left", "right")])

    def _of_class(self, counts: np.ndarray[Any, Any]) -> Floats:
        share = counts / counts.sum(1, keepdims=True)
        if self._small:
            expected = self._share * self._rows
            statistic = ((counts - expected) ** 2 / expected).sum(1)
            return np.asarray(-np.log(np.maximum(chi2.sf(statistic, len(LABELS) - 1), 1e-300)) / -np.log(0.05))
        middle = (share + self._share) / 2
        divergence = sum(0.5 * (one * np.log2(np.maximum(one, 1e-12) / middle)).sum(1) for one in (share, self._share))
        return np.asarray(np.sqrt(np.maximum(divergence, 0)) / 0.1)


def episodes(drifted: np.ndarray[Any, Any]) -> int:
    """Return how often a run of windows that drifted begins."""
    return int(drifted[0]) + int((drifted[1:] & ~drifted[:-1]).sum())


RULES: Mapping[str, Callable[[Floats], np.ndarray[Any, Any]]] = {
    "Evidently, any column": lambda strength: strength.max(1) > 1,
    "Evidently, half of the columns": lambda strength: (strength > 1).mean(1) >= 0.5,
}


def one_reference(kind: str, rows: int, months: int, seed: int, *, anytime: bool) -> dict[str, Any]:
    """Return what alarms one reference gives in healthy months and under each shift, by ours and the other rule."""
    chance = np.random.Generator(np.random.Philox([seed, rows, list(KINDS).index(kind)]))
    days, healthy = 7 * WEEKS, 30 * months
    numbers, classes = traffic(chance, kind, days + healthy, rows)
    reference = window_of(chance, kind, [one[:days] for one in numbers], classes[:days], 0, None)
    baseline = Baseline.make(reference, AlarmSettings(), "simulated")
    rule = Documented(reference, rows)
    later = [one[days:] for one in numbers], classes[days:]
    start = MONDAY + DAY * (days + np.arange(healthy, dtype=np.float64))
    window = window_of(chance, kind, *later, days, None)
    sums = sums_by_day(baseline, window, healthy)
    strength = rule.strength(window, healthy)
    found: dict[str, Any] = {
        "ours": alarms_of(baseline, baseline.judge_sums(sums, start)).alarms,
        **{name: episodes(decide(strength)) for name, decide in RULES.items()},
        "strength": strength.max(1).tolist(),
        "shifts": {},
    }
    if anytime:
        found["anytime"] = first_of_bets(baseline, sums.take(slice(ANYTIME_DAYS)), start[:ANYTIME_DAYS])
    looked = min(LOOKED_FOR, healthy)
    for name, shift in SHIFTS.items():
        moved = window_of(chance, kind, [one[:looked] for one in later[0]], later[1][:looked], days, shift)
        strong = rule.strength(moved, looked)
        sums = sums_by_day(baseline, moved, looked)
        found["shifts"][name] = {
            "ours": alarms_of(baseline, baseline.judge_sums(sums, start[:looked])).first,
            **{
                rule_name: int(np.argmax(decide(strong)) + 1) * bool(decide(strong).any())
                for rule_name, decide in RULES.items()
            },
            "strength": strong.max(1).tolist(),
            **({"anytime": first_of_bets(baseline, sums, start[:looked])} if anytime else {}),
        }
    return found


def first_of_bets(baseline: Baseline, sums: Sums, start: Floats) -> int:
    """Return at which window the mode anytime gives an alarm, 0 for never."""
    wealth, judged = Wealth(), baseline.judge_sums(sums, start)
    for place in range(len(start)):
        wealth = baseline.bet(wealth, sums.take(slice(place + 1)), start[: place + 1], judged[place], seed=0)
        if wealth.value >= 1 / baseline.settings.ever:
            return place + 1
    return 0


def summary(found: list[dict[str, Any]], months: int) -> dict[str, Any]:
    """Return false alarms a month with an interval over references, and how soon each shift is noticed."""
    rules = ["ours", *RULES]
    rate = {name: a_month([one[name] for one in found], months) for name in rules}
    noticed = {
        shift: {name: delays([one["shifts"][shift][name] for one in found]) for name in rules} for shift in SHIFTS
    }
    first = next(iter(SHIFTS))
    wanted = noticed[first]["ours"]["within_7"]
    strongest = np.array([max(one["shifts"][first]["strength"][:7]) for one in found])
    threshold = float(np.quantile(strongest, 1 - wanted)) if wanted else float("inf")
    equal = a_month([episodes(np.array(one["strength"]) > threshold) for one in found], months)
    result = {"false_alarms_a_month": {**rate, "Evidently at our power": equal}, "noticed": noticed}
    if "anytime" in found[0]:
        result["anytime"] = {
            "ever_false": bool_share([one["anytime"] > 0 for one in found]),
            "noticed": {shift: delays([one["shifts"][shift]["anytime"] for one in found]) for shift in SHIFTS},
        }
    return result


def a_month(alarms: list[int], months: int) -> dict[str, Any]:
    """Return alarms a month, with an interval that resamples references."""
    table = np.array([[count, months] for count in alarms], np.float64)
    return bootstrap(table, mean_of, method="bootstrap over references").plain()


def bool_share(values: list[bool]) -> dict[str, Any]:
    """Return the share that is true, with an interval."""
    return bootstrap(np.array([[value, 1] for value in values], np.float64), mean_of).plain()


def delays(first: list[int]) -> dict[str, Any]:
    """Return the share noticed within 1, 7 and 30 days, and the middle delay of those that were."""
    days = np.array(first)
    there = days[days > 0]
    within = {f"within_{bound}": float(((days > 0) & (days <= bound)).mean()) for bound in (1, 7, 30)}
    return {**within, "middle": float(np.median(there)) if len(there) else None}


KINDS = {
    "iid": "independent requests, light tails",
    "heavy": "independent requests of two sources, heavy tails, many zeros",
    "weekly": "other weekends, days like the day before, hours like the hour before",
}


def table(results: Mapping[str, Any]) -> str:
    """Return the results as a page."""
    head = (
        f"{results['references']} references of {WEEKS} weeks, {results['months']} healthy months after each; a window "
        "is a day. One false alarm a month over all signals was asked for. Intervals resample references."
    )
    lines = ["# False alarms a month against days until a shift is noticed", "", head, ""]
    for kind, words in KINDS.items():
        if kind not in results["kinds"]:
            continue
        lines += [f"## {kind}: {words}", "", "| requests a day | rule | false alarms a month | "
                  + " | ".join(f"{name}: within 1 / 7 / 30 days" for name in SHIFTS) + " |",
                  "| ---: | --- | --- |" + " --- |" * len(SHIFTS)]  # fmt: skip
        for rows, found in results["kinds"][kind].items():
            for name, rate in found["false_alarms_a_month"].items():
                cells = [
                    " / ".join(f"{found['noticed'][shift][name][f'within_{days}']:.0%}" for days in (1, 7, 30))
                    if name in found["noticed"][shift] else "" for shift in SHIFTS
                ]  # fmt: skip
                value = f"{rate['value']:.2f} [{rate['low']:.2f}, {rate['high']:.2f}]"
                lines.append(f"| {rows} | {name} | {value} | {' | '.join(cells)} |")
            if "anytime" in found:
                ever = found["anytime"]["ever_false"]
                cells = [
                    " / ".join(f"{found['anytime']['noticed'][shift][f'within_{days}']:.0%}" for days in (1, 7, 30))
                    for shift in SHIFTS
                ]
                value = f"ever one: {ever['value']:.1%} [{ever['low']:.1%}, {ever['high']:.1%}]"
                lines.append(f"| {rows} | ours, anytime (5 % ever) | {value} | {' | '.join(cells)} |")
        lines.append("")
    return (
        "\n".join([*lines, f"Made by `{results['command']}` in {results['seconds']:.0f} s of one processor core."])
        + "\n"
    )


def main() -> None:
    """Simulate and write results/alarms.{json,md}."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--references", type=int, default=200)
    parser.add_argument("--months", type=int, default=5)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    began, kinds = time.process_time(), {}
    for kind in asked.kinds.split(","):
        kinds[kind] = {}
        for rows in map(int, asked.sizes.split(",")):
            anytime = rows == 1000
            found = [one_reference(kind, rows, asked.months, seed, anytime=anytime) for seed in range(asked.references)]
            kinds[kind][str(rows)] = summary(found, asked.months)
            print(f"{kind} {rows}: {time.process_time() - began:.0f} s")
    results = {
        "command": f"benchmarks/alarms.py --references {asked.references} --months {asked.months}",
        "references": asked.references,
        "months": asked.months,
        "seconds": time.process_time() - began,
        "kinds": kinds,
    }
    (asked.out / "alarms.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (asked.out / "alarms.md").write_text(table(results), encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
