"""``unmask watch selftest``: alarms tried on the user's own reference, healthy and with shifts put into it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from unmask import files
from unmask.cli.infer import in_groups
from unmask.cli.starting import MODEL
from unmask.cli.terminal import JsonFlag, QuietFlag, Report, Terminal
from unmask.cli.watch_baseline import BaselineOption, StoreArgument, beside, captured_by
from unmask.errors import SettingError
from unmask.inference.loaded import LoadedModel
from unmask.inference.loading import load
from unmask.watch.baseline import Baseline, as_reference, read_baseline
from unmask.watch.capture import capture
from unmask.watch.injections import TEXT_SHIFTS, Injection, signal_injections, thinned
from unmask.watch.selftest import tried_on
from unmask.watch.window import Window

FORMAT, VERSION = "unmask-selftest", 1


def selftest(
    store: StoreArgument,
    baseline: BaselineOption = Path("baseline.safetensors"),
    texts: Annotated[
        str | None, typer.Option(metavar="FILE", help="Texts of this traffic, to put errors into; with --model.")
    ] = None,
    model: Annotated[Path | None, typer.Option(metavar="MODEL", help=MODEL)] = None,
    base: Annotated[
        Path | None, typer.Option(metavar="MODEL", help="The frozen model, as it was captured with.")
    ] = None,
    other: Annotated[
        str | None, typer.Option(metavar="FILE", help="Texts of another language or topic, to mix in.")
    ] = None,
    rows: Annotated[int, typer.Option(min=50, help="Requests of a window, where the reference has no time.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Where chance starts.")] = 0,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Say how often alarms are false on the reference itself, and how soon they come."""
    terminal, reference = Terminal(json=json, quiet=quiet), read_baseline(baseline)
    if texts is None and (other is not None or model is not None):
        raise SettingError("give --texts FILE too: texts of this traffic, beside which the others are measured")
    if texts is not None and model is None:
        raise SettingError("--texts needs --model MODEL, which reads them as it reads the traffic")
    _, window = captured_by(store, reference.model, reference.since, np.nextafter(reference.until, np.inf))
    with terminal.progress() as progress:
        made: list[Injection] = []
        if texts is not None and model is not None:
            asked = _Asked(load(model), None if base is None else load(base), progress)
            made = list(_of_texts(asked, texts, other))
            if not reference.in_time:  # rows are exchanged one for one, so both must be of the same texts
                window = made[0].healthy
                reference = Baseline.make(window, reference.settings, reference.model, texts)
            made = [_measured(one, window, reference) for one in made]
        made = [*made, *signal_injections(as_reference(window), seed)]
        found = tried_on(reference, window, made, rows=rows, seed=seed, progress=progress)
    found = {"format": FORMAT, "version": VERSION, "model": reference.model, **found}
    files.write_json(beside(baseline, "selftest"), found)
    terminal.emit(found)
    _show(terminal, found)
    terminal.next_step(f"unmask watch check {store} --baseline {baseline}")


class _Asked:
    """A model that texts are put to, as the traffic was."""

    def __init__(self, model: LoadedModel, base: LoadedModel | None, progress: Report) -> None:
        self._model, self._base, self._progress, self._rounds = model, base, progress, 0

    def __call__(self, texts: list[str], what: str) -> Window:
        self._rounds += 1
        stage = f"asking, round {self._rounds}"
        return capture(
            self._model,
            texts,
            base=self._base,
            told=lambda done, total: self._progress(stage, done, total, f"texts, {what}"),
        )


def _of_texts(asked: _Asked, file: str, other: str | None) -> Iterator[Injection]:
    """Yield what becomes of the texts of ``file`` under each shift, and those of ``other`` in their place."""
    texts = [text for group in in_groups(file) for text in group]
    healthy = asked(texts, "as they are")
    for name, change in TEXT_SHIFTS.items():
        yield Injection(name, healthy, asked([change(text) for text in texts], name), paired=True)
    if other is not None:
        strange = [text for group in in_groups(other) for text in group]
        yield Injection(f"texts of {Path(other).name}", healthy, asked(strange, "the others"))


def _measured(injection: Injection, traffic: Window, reference: Baseline) -> Injection:
    """Return ``injection`` with vectors as rare as in ``traffic``, and their distances from ``reference``."""
    healthy, shifted = (reference.measured(thinned(one, traffic)) for one in (injection.healthy, injection.shifted))
    return replace(injection, healthy=healthy, shifted=shifted)


def _show(terminal: Terminal, found: Mapping[str, Any]) -> None:
    false, wished = found["false_alarms_a_month"], found["wished_a_month"]
    if false is None:
        terminal.result("The reference is too short to hold any of it out: capture for longer.")
        return
    terminal.result(
        f"False alarms: {false['value']:.2f} a month ({false['low']:.2f} to {false['high']:.2f}) over "
        f"{found['windows']:,} windows of {found['rows_of_a_window']:,} requests; {wished:g} a month were asked for."
    )
    rows = [
        (
            one["name"],
            f"{one['share']:.0%}",
            f"{one['noticed']['value']:.0%}" if one["noticed"] else "",
            "" if one["windows"] is None else f"{one['windows']:g}",
            "" if one["requests"] is None else f"{one['requests']:,}",
        )
        for one in found["shifts"]
    ]
    terminal.table(["shift", "of requests", "noticed", "after windows", "requests"], rows)
