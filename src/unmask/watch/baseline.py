"""A baseline: what traffic is held against, in one file without text (``unmask-baseline`` 1).

What bites: where the reference was seen over enough stretches of time these are compared, rhythm of the week and all.
Where it was not, as with a file that was captured at once, its rows are dealt: that is exact for a new sample of the
same, and promises nothing of traffic whose hours differ from each other.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from unmask import files
from unmask.errors import DataError
from unmask.watch.alarms import AlarmSettings, Judged, Levels, Wealth, levels_of_deals, levels_of_ranks, rank_among
from unmask.watch.departure import DEALS, Deals, Rows, Stretches
from unmask.watch.distance import with_distances
from unmask.watch.features import LEAST_MEASURED, FeatureMap, Sums
from unmask.watch.folds import Folds
from unmask.watch.rhythm import SECONDS, Places, Rhythm, finest_rhythm, phase_of, start_of, stretch_of
from unmask.watch.waves import sampled
from unmask.watch.window import CLASSES, NUMBERS, Floats, Window

FORMAT, VERSION = "unmask-baseline", 1
LEAST_STRETCHES = 14
MOST_ROWS, MOST_VECTORS = 10_000, 4000
"""Rows of the reference that are kept, and vectors; sums over its stretches are of all of them."""
_DEALS_FOR_A_LEVEL = 3


@dataclass(frozen=True)
class Baseline:
    """A reference, the functions that it is compared by, and what is promised of alarms."""

    settings: AlarmSettings
    model: str
    features: FeatureMap
    rows: Window
    num_rows: int
    since: float
    until: float
    stretch: Places
    """(B,) the numbers of its stretches of time, empty where there are too few."""
    sums: Sums

    @classmethod
    def make(cls, reference: Window, settings: AlarmSettings, model: str, where: Path | str = "reference") -> Self:
        """Return the baseline of ``reference``, rows in order of time. Raises DataError where it is too small."""
        if len(reference) < LEAST_MEASURED:
            raise DataError(where, f"holds {len(reference)} requests to {model}; a baseline needs {LEAST_MEASURED}")
        kept_rows, reference = _spread(reference), as_reference(reference)
        features, seconds = FeatureMap.fit(reference), SECONDS[settings.every]
        if not features.names:
            raise DataError(where, f"no signal was measured {LEAST_MEASURED} times; capture more requests")
        stretch, block = np.unique(stretch_of(reference.time, seconds), return_inverse=True)
        sums = features.sums(reference, block, len(stretch))
        kept = _whole_stretches(sums, settings.least_rows)
        if kept.sum() < LEAST_STRETCHES:
            kept = np.zeros(len(stretch), bool)
        made = cls(
            settings, model, features, reference.rows(kept_rows), len(reference), float(reference.time.min()),
            float(reference.time.max()), stretch[kept], sums.take(kept),
        )  # fmt: skip
        made.require_possible(where)
        return made

    def require_possible(self, where: Path | str) -> None:
        """Raise DataError where the reference is too short for any alarm within the budget."""
        if self.settings.mode == "anytime" and not self.in_time:
            what = f"alarms.mode anytime needs {LEAST_STRETCHES} stretches of {self.settings.every} in the reference"
            raise DataError(where, f"{what}; capture for longer, or choose a shorter alarms.every")
        if self.settings.mode == "windows" and not self.levels.possible:
            raise DataError(
                where,
                f"{len(self.stretch)} stretches of {self.settings.every} are too few for "
                f"{self.settings.alarms_per_month:g} false alarms a month; capture for longer, or allow more by "
                "alarms.alarms_per_month",
            )

    @property
    def in_time(self) -> bool:
        """Whether stretches of time are compared, and not rows."""
        return len(self.stretch) > 0

    @property
    def seconds(self) -> int:
        """Length of a window."""
        return SECONDS[self.settings.every]

    @cached_property
    def rhythm(self) -> Rhythm:
        """What part of the week a stretch is compared with."""
        return finest_rhythm(self._starts, self.seconds) if self.in_time else "none"

    @cached_property
    def stretches(self) -> Stretches:
        """The reference as stretches of time."""
        return Stretches(self.features, self.sums, phase_of(self._starts, self.rhythm))

    @cached_property
    def levels(self) -> Levels:
        """From which p-value on a window departs."""
        budget = self.settings.budget
        if not self.in_time:
            return levels_of_deals(budget)
        return levels_of_ranks(budget, self.stretches.null.largest, self.stretch)

    def measured(self, window: Window) -> Window:
        """Return ``window`` with the distances of its vectors from those of this reference."""
        return self._folds.measured(window)

    def judge(self, window: Window, start: float) -> Judged:
        """Return what ``window``, :meth:`measured` and beginning at ``start``, says."""
        if not self.in_time:
            return self._dealt(window, start)
        return self.judge_sums(self.features.one(window), np.array([start]))[0]

    def judge_sums(self, sums: Sums, start: Floats) -> list[Judged]:
        """Return what windows with these sums (C,), which begin at ``start`` (C,), say of a reference in time."""
        departure = self.stretches.depart(sums, phase_of(start, self.rhythm))
        p, effects = self.stretches.p_values(departure), self.features.effects(departure.differences)
        return [
            self._judged(float(start[place]), int(sums.rows[place]), p[place], effects[place])
            for place in range(len(start))
        ]

    def bet(self, wealth: Wealth, sums: Sums, start: Floats, judged: Judged, seed: int) -> Wealth:
        """Return the wealth after the newest of the windows (C,) that were seen since the baseline was made.

        ``judged`` is what the newest said. All are exchangeable while nothing changes, so its rank among them is a
        p-value that knows nothing of the ones before.
        """
        starts = np.concatenate([self._starts, start])
        every = Stretches(self.features, self.sums.plus(sums), phase_of(starts, self.rhythm))
        *others, newest = every.null.largest.tolist()
        chance = float(np.random.Generator(np.random.Philox([seed, wealth.windows])).random())
        changed = max(judged.effect.values()) >= self.settings.least_effect
        p = rank_among(np.array(others), newest, chance)
        return wealth.after(p if changed else 1.0)  # a larger p never wins more, so the bound holds

    def _dealt(self, window: Window, start: float) -> Judged:
        least = min(self.levels.at_once, self.levels.repeated)
        number = max(DEALS, round(_DEALS_FOR_A_LEVEL / least))
        deals = Deals(self.features, len(self.rows), len(window), number)
        departure, p = deals.test(self._row_values, self.features.rows(window))
        return self._judged(start, len(window), p[0], self.features.effects(departure.differences)[0])

    def _judged(self, start: float, rows: int, p: Floats, effect: Floats) -> Judged:
        named = [dict(zip(self.features.names, map(float, values), strict=True)) for values in (p, effect)]
        return Judged(start, rows, *named)

    @cached_property
    def _folds(self) -> Folds:
        return Folds.of(self.rows.embedding)

    @cached_property
    def _row_values(self) -> Rows:
        return self.features.rows(self.rows)

    @property
    def _starts(self) -> Floats:
        return start_of(self.stretch, self.seconds)


def _spread(reference: Window) -> npt.NDArray[np.int64]:
    """Return rows spread evenly over ``reference``, and over those with a vector, which are few."""
    everywhere = np.linspace(0, len(reference) - 1, min(MOST_ROWS, len(reference))).astype(np.int64)
    vectors = np.flatnonzero(sampled(reference.embedding, len(reference)))
    return np.union1d(everywhere, vectors[:: max(1, -(-len(vectors) // MOST_VECTORS))])


def as_reference(window: Window) -> Window:
    """Return ``window`` without keys, and with distances of its vectors from each other: of those that are kept."""
    window, rows = replace(window, key=None), _spread(window)
    if window.embedding is None:
        return window
    embedding = np.full_like(window.embedding, np.nan)
    embedding[rows] = window.embedding[rows]
    return with_distances(replace(window, embedding=embedding))


def _whole_stretches(sums: Sums, least_rows: int) -> npt.NDArray[np.bool_]:
    """Return (B,) which stretches can be compared: with enough rows, and not cut off at either end of the reference."""
    kept = sums.rows >= least_rows
    for end in (0, -1):
        kept[end] &= sums.rows[end] >= np.median(sums.rows) / 2
    return kept


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write ``baseline`` to ``path``, a .safetensors file, whole or not at all."""
    functions, signals = baseline.features.tensors()
    arrays: dict[str, npt.NDArray[Any]] = {f"functions.{name}": array for name, array in functions.items()}
    arrays |= dict(zip(_SUMS, baseline.sums.parts(), strict=True)) | {"stretch": baseline.stretch}
    arrays |= {"time": baseline.rows.time} | {f"number.{name}": baseline.rows.numbers[name] for name in NUMBERS}
    labels = {}
    for name in CLASSES:
        known, arrays[f"class.{name}"] = np.unique(baseline.rows.classes[name], return_inverse=True)
        labels[name] = known.tolist()
    if baseline.rows.embedding is not None:
        arrays["embedding"] = baseline.rows.embedding
    about = {
        "format": FORMAT, "version": VERSION, "settings": baseline.settings.plain(), "model": baseline.model,
        "num_rows": baseline.num_rows, "since": baseline.since, "until": baseline.until, "signals": signals,
        "labels": labels, "checksum": files.digest_tensors(arrays),
    }  # fmt: skip
    files.write_tensors(path, arrays, {"baseline": json.dumps(about)})


def read_baseline(path: Path) -> Baseline:
    """Return the baseline in the file ``path``. Raises DataError where there is none or it is damaged."""
    if not path.is_file():
        raise DataError(path, "there is no such file; make a baseline with unmask watch baseline")
    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads((file.metadata() or {}).get("baseline", "{}"))
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no mapping
    except (OSError, SafetensorError, json.JSONDecodeError):
        raise DataError(path, "is no baseline, or damaged; make it again") from None
    if (about.get("format"), about.get("version")) != (FORMAT, VERSION):
        raise DataError(path, f"is not of {FORMAT} {VERSION}; make it again with this version")
    if about["checksum"] != files.digest_tensors(arrays):
        raise DataError(path, "is damaged (its checksum does not hold); make it again")
    rows = Window(
        time=arrays["time"],
        numbers={name: arrays[f"number.{name}"] for name in NUMBERS},
        classes={name: np.array(about["labels"][name])[arrays[f"class.{name}"]] for name in CLASSES},
        embedding=arrays.get("embedding"),
    )
    prefix = "functions."
    functions = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    return Baseline(
        AlarmSettings.parse(about["settings"]), about["model"], FeatureMap.from_tensors(functions, about["signals"]),
        rows, about["num_rows"], about["since"], about["until"], arrays["stretch"],
        Sums(*(arrays[name] for name in _SUMS)),
    )  # fmt: skip


_SUMS = ("sums", "counts", "rows")
