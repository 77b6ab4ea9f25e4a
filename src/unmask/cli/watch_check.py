"""``unmask watch check``: judges what came since the last check, for cron: exit code 1 while an alarm is on."""

from __future__ import annotations

import time as clock
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from unmask import files
from unmask.cli.terminal import JsonFlag, QuietFlag, Report, Terminal, count
from unmask.cli.watch_baseline import BaselineOption, StoreArgument, beside, captured_by, moment, when
from unmask.cli.watch_labels import quality
from unmask.errors import CheckFailed, DataError, SettingError
from unmask.report.watch_page import rare
from unmask.watch.baseline import Baseline, read_baseline
from unmask.watch.checks import Checks, read_checks, write_checks
from unmask.watch.described import described
from unmask.watch.notices import gauges, require_url, sent
from unmask.watch.store import read
from unmask.watch.window import Window

MOST_UNSENT = 100
"""Messages that are kept for a webhook that takes none."""


def check(
    store: StoreArgument,
    baseline: BaselineOption = Path("baseline.safetensors"),
    since: Annotated[
        str | None, typer.Option(help="Where to begin, at the first check; by default one window.")
    ] = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="Judge all of DIR as one window, and remember nothing.")
    ] = False,
    webhook: Annotated[str | None, typer.Option(metavar="URL", help="Where alarms are posted to as JSON.")] = None,
    gauges_to: Annotated[
        Path | None, typer.Option("--gauges", metavar="FILE", help="A .prom file for Prometheus to pick up.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Breaks ties in the mode anytime.")] = 0,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Judge the windows that have ended since the last check."""
    terminal, reference, state = Terminal(json=json, quiet=quiet), read_baseline(baseline), beside(baseline, "checks")
    if webhook is not None:
        require_url(webhook)
    if whole:
        found = _as_one(store, reference, baseline)
        _told(terminal, reference, found, baseline)
        return
    first = None if since is None else moment("--since", since, 0.0)
    with files.locked(state.with_suffix(".lock"), held=lambda: None):
        before = read_checks(state, files.digest(baseline))
        if before.until is None and first is not None:
            before = replace(before, until=first)
        with terminal.progress() as progress:
            found = _caught_up(store, reference, before, baseline, seed, progress)
        found, wrong = _notified(found, before, reference.model, webhook)
        write_checks(state, found)
    if gauges_to is not None:
        text = gauges(reference.model, found.latest, alarm=found.alarm is not None, until=found.until)
        files.write_bytes(gauges_to, text.encode())
    if wrong:
        terminal.say(f"{wrong}; it is tried again at the next check")
    terminal.say(_looked_at(before, found))
    _told(terminal, reference, found, baseline)


def _caught_up(store: Path, reference: Baseline, checks: Checks, baseline: Path, seed: int, progress: Report) -> Checks:
    """Return ``checks`` after every window of ``store`` that has ended by now."""
    due, newest = checks.due(clock.time(), reference.seconds), None
    for number, start in enumerate(due, start=1):
        window = read(store, reference.model, start, start + reference.seconds)
        if len(window) < reference.settings.least_rows:
            checks = checks.past(start + reference.seconds)
        else:
            newest = reference.measured(window)
            checks = checks.after(reference, newest, start, seed)
        progress("judging", number, len(due), when(start))
    return checks if newest is None else _with_latest(checks, reference, newest, baseline)


def _with_latest(checks: Checks, reference: Baseline, window: Window, baseline: Path) -> Checks:
    """Return ``checks`` with what is told of ``window``, the newest that was judged."""
    judged = checks.judged[-1]
    latest = {**described(reference, window, judged), "quality": quality(baseline, window, judged)}
    return replace(checks, latest=latest)


def _as_one(store: Path, reference: Baseline, baseline: Path) -> Checks:
    """Return checks that saw all of ``store`` as one window. Raises SettingError, DataError."""
    if reference.in_time:
        raise SettingError("--whole is for a baseline without time; this one compares stretches, leave --whole out")
    _, window = captured_by(store, reference.model, -np.inf, np.inf)
    if len(window) < reference.settings.least_rows:
        raise DataError(store, f"holds {len(window)} requests; {reference.settings.least_rows} are judged at least")
    measured = reference.measured(window)
    found = Checks(baseline="").after(reference, measured, float(window.time.min()))
    return _with_latest(found, reference, measured, baseline)


def _notified(found: Checks, before: Checks, model: str, webhook: str | None) -> tuple[Checks, str | None]:
    """Post what is new, and what was left of earlier checks; return the checks with what is left now."""
    new = [{"model": model, **event.plain()} for event in found.events if event not in before.events]
    if webhook is None:
        return found, None
    left, wrong = sent(webhook, [*found.unsent, *new])
    return replace(found, unsent=tuple(left[-MOST_UNSENT:])), wrong


def _looked_at(before: Checks, found: Checks) -> str:
    judged, skipped = len(found.judged) - len(before.judged), found.skipped - before.skipped
    if not judged and not skipped:
        return "No window has ended since the last check."
    few = f", {count(skipped)} had too few requests" if skipped else ""
    return f"{count(max(judged, 0))} windows judged{few}."


def _told(terminal: Terminal, reference: Baseline, found: Checks, baseline: Path) -> None:
    """Print what was found. Raises CheckFailed while an alarm is on."""
    terminal.emit(
        {
            "format": "unmask-watch-check",
            "version": 1,
            "model": reference.model,
            "alarm": None if found.alarm is None else found.alarm.plain(),
            "evidence": found.wealth.value if reference.settings.mode == "anytime" else None,
            "events": [event.plain() for event in found.events],
            "window": found.latest,
        }
    )
    if found.latest is not None:
        _table(terminal, found.latest)
    if found.alarm is not None:
        raise CheckFailed(
            f"alarm since {when(found.alarm.since)} UTC: {', '.join(sorted(found.alarm.signals))} "
            f"of {reference.model} changed"
        )
    terminal.next_step(f"unmask watch report --baseline {baseline}")


def _table(terminal: Terminal, latest: Mapping[str, Any]) -> None:
    rows = [
        (one["name"], *_shown(one), f"{one['effect']:.0%}", rare(one["p"]), "changed" if one["departed"] else "")
        for one in latest["signals"]
    ]
    title = f"{count(latest['rows'])} requests from {when(latest['start'])} UTC"
    terminal.table(["signal", "reference", "now", "changed", "p", ""], rows, title=title)
    estimate = latest["quality"]
    if estimate is not None and estimate["refused"]:
        terminal.result(f"No estimate of accuracy: {estimate['refused']}.")
    elif estimate is not None:
        figure = estimate["estimates"]["average_confidence"]
        terminal.result(
            f"Accuracy without labels: {figure['value']:.1%} ({figure['low']:.1%} to {figure['high']:.1%}) estimated."
        )


def _shown(signal: Mapping[str, Any]) -> tuple[str, str]:
    """Return a signal of the reference and of the window in a few letters each."""
    before, now = signal["reference"], signal["window"]
    if signal["kind"] == "class":
        label = next(iter(before))
        return f"{label[:12]} {before[label]:.0%}", f"{now[label]:.0%}"
    if signal["kind"] == "vector":
        return f"{count(before['measured'])} texts", f"{count(now['measured'])} texts"
    return _mean(before), _mean(now)


def _mean(signal: Mapping[str, Any]) -> str:
    return "" if signal["mean"] is None else f"{signal['mean']:.4g}"
