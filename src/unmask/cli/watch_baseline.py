"""``unmask watch baseline``: what later traffic is held against, and the files that come to stand beside it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from unmask import files
from unmask.cli.terminal import JsonFlag, QuietFlag, Terminal, count
from unmask.errors import SettingError
from unmask.settings import Settings, read_settings
from unmask.watch.alarms import AlarmSettings
from unmask.watch.baseline import Baseline, write_baseline
from unmask.watch.features import GROUPS
from unmask.watch.store import models_in, read
from unmask.watch.window import Window

StoreArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Where signals are kept.")]
BaselineOption = Annotated[Path, typer.Option("--baseline", metavar="FILE", help="What traffic is held against.")]


class WatchRecipe(Settings):
    """What a baseline is made by."""

    alarms: AlarmSettings = AlarmSettings()


def baseline(
    store: StoreArgument,
    settings: Annotated[list[str] | None, typer.Argument(metavar="alarms.key=value", help="Settings.")] = None,
    out: Annotated[Path, typer.Option(help="The .safetensors file to write.")] = Path("baseline.safetensors"),
    model: Annotated[str | None, typer.Option(help="Which model, where there are several.")] = None,
    since: Annotated[str | None, typer.Option(help="From when on, as in 2026-11-01 or 2026-11-01T06:00.")] = None,
    until: Annotated[str | None, typer.Option(help="Up to when.")] = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Make of what was captured what later traffic is held against."""
    terminal = Terminal(json=json, quiet=quiet)
    chosen = read_settings(WatchRecipe, overrides=settings or ()).alarms
    if out.suffix != ".safetensors":
        raise SettingError(f"--out must end in .safetensors, got {out}")
    files.refuse_unwritable(out)
    name, window = captured_by(store, model, moment("--since", since, -np.inf), moment("--until", until, np.inf))
    made = Baseline.make(window, chosen, name, store)
    write_baseline(out, made)
    terminal.emit({"format": "unmask-baseline", "version": 1, "out": str(out), **about(made)})
    terminal.facts(_facts(made))
    if not made.in_time:
        terminal.say(
            "\nRows are compared, not stretches of time: the reference covers too few. That is exact for a sample of "
            "the same texts; for traffic whose hours differ from each other, capture for longer."
        )
    terminal.next_step(f"unmask watch selftest {store} --baseline {out}")


def captured_by(store: Path, model: str | None, since: float, until: float) -> tuple[str, Window]:
    """Return the name of the model, by default the only one, and its signals. Raises DataError."""
    window = read(store, model, since, until)
    return model or models_in(store)[0], window


def moment(option: str, text: str | None, otherwise: float) -> float:
    """Return the unix seconds of a time in ISO 8601, UTC where it names no zone. Raises SettingError."""
    if text is None:
        return otherwise
    try:
        said = datetime.fromisoformat(text)
    except ValueError:
        raise SettingError(f"{option} must be a time as in 2026-11-01T06:00, got {text!r}") from None
    return (said if said.tzinfo else said.replace(tzinfo=UTC)).timestamp()


def when(seconds: float) -> str:
    """Return unix seconds as people read them: 2026-11-01 06:00."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def beside(path: Path, what: str) -> Path:
    """Return the file of ``what`` (checks, labels, selftest) beside the baseline at ``path``."""
    return path.with_suffix(f".{what}.json")


def about(made: Baseline) -> dict[str, Any]:
    """Return what is told of a baseline, as JSON writes it."""
    return {
        "model": made.model,
        "requests": made.num_rows,
        "since": made.since,
        "until": made.until,
        "windows": len(made.stretch),
        "rhythm": made.rhythm if made.in_time else None,
        "signals": made.features.names,
        "levels": {"at_once": made.levels.at_once, "repeated": made.levels.repeated},
        "settings": made.settings.plain(),
    }


def _facts(made: Baseline) -> Sequence[tuple[str, str]]:
    watched = [name for names in GROUPS.values() for name in names if name in made.features.names]
    rows = [
        ("model", made.model),
        ("requests", f"{count(made.num_rows)} from {when(made.since)} to {when(made.until)} UTC"),
        ("signals", ", ".join(watched)),
    ]
    if made.in_time:
        with_what = "all others" if made.rhythm == "none" else f"others of the same {made.rhythm}"
        rows.append(("windows", f"{count(len(made.stretch))} of {made.settings.every}, compared with {with_what}"))
    return [*rows, ("alarm", promise(made))]


def promise(made: Baseline) -> str:
    """Return in words when there is an alarm, and how often a false one."""
    settings, levels = made.settings, made.levels
    if settings.mode == "anytime":
        return f"once the evidence is {1 / settings.ever:.0f} to 1; one is ever false with {settings.ever:.0%} chance"
    ways = []
    if levels.at_once:
        ways.append(f"a window of p at most {levels.at_once:.3g}")
    if levels.repeated:
        ways.append(f"a signal of p at most {levels.repeated:.3g} in two of three windows")
    often = f"{settings.alarms_per_month:g} false a month over all signals"
    return f"{', or '.join(ways)}, where {settings.least_effect:.0%} changed at least; {often}"
