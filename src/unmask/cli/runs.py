"""``unmask runs``: which runs there are, what is in one, and several side by side; loads no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from unmask import files
from unmask.cli.figures import print_figures, print_task
from unmask.cli.runs_beside import comparison_object, print_comparison
from unmask.cli.terminal import JsonFlag, QuietFlag, Terminal, count, duration
from unmask.errors import RunError
from unmask.report.compare_page import render_comparison
from unmask.report.html import at, plain, read_figure
from unmask.report.side_by_side import FinishedRun, SideBySide
from unmask.runs import RunDirectory

MAX_NAMED = 5
"""Folders without a run that are named before the rest is counted."""
MAX_POINTS = 8
"""Evaluations on the way that are shown of a run."""
OF_THE_MACHINE = ("processor", "threads", "dtype", "torch", "compiled")

runs = typer.Typer(add_completion=False, rich_markup_mode=None, help="List, show and compare runs.")


@runs.command("list")
def list_runs(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the runs are.")] = Path(),
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """List the runs in a folder."""
    terminal = Terminal(json=json, quiet=quiet)
    found, damaged, others = _in_folder(folder)
    fingerprints = {run["fingerprint"] for run in found} - {None}
    measure = "masked" if len(fingerprints) <= 1 else "bits_per_character"
    unit = "nats" if measure == "masked" else "bits/char"
    terminal.emit({"format": "unmask-runs", "version": 1, "runs": found, "damaged": damaged, "others": others})
    rows = [
        (
            run["run"], run["status"], f"{count(run['step'])}/{count(run['max_steps'])}", count(run["tokens"]),
            duration(run["seconds"]), f"{run[measure]['value']:.3f}" if run[measure] else "",
        )
        for run in found
    ]  # fmt: skip
    if rows:
        terminal.table(["run", "status", "steps", "tokens", "time", f"[MASK] {unit}"], rows, words=2)
    else:
        terminal.result(f"{folder}: holds no runs")
    if len(fingerprints) > 1:
        terminal.say("In bits per character: the runs were measured on different frozen sets.")
    for broken in damaged:
        terminal.say(f"damaged: {broken['why']}")
    if others:
        more = f" and {count(len(others) - MAX_NAMED)} more" if len(others) > MAX_NAMED else ""
        terminal.say(f"no runs: {', '.join(others[:MAX_NAMED])}{more}")
    _hint(terminal, folder, found)


_USE = {"pretrain": ', or: unmask fill {} "The [MASK] of the array."', "finetune": ", or: unmask predict {} FILE"}
"""What a finished run of a kind is good for."""


@runs.command()
def show(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")],
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Show what a run is, how far it came and how good it is."""
    terminal = Terminal(json=json, quiet=quiet)
    shown = RunDirectory(run)
    state, evaluation, status = shown.state, shown.read("evaluation.json"), _status(shown)
    on_the_way = [line for line in shown.metrics() if line.get("kind") == "evaluation"]
    terminal.emit({**state, "status": status, "evaluation": evaluation, "on_the_way": on_the_way})
    _print_state(terminal, shown, state, status)
    if state["kind"] == "pretrain":
        _print_on_the_way(terminal, on_the_way)
        if evaluation is not None:
            terminal.result(f"Measured at the end on frozen set {at(evaluation, 'frozen', 'fingerprint')}:")
            print_figures(terminal, evaluation["mlm"])
    elif evaluation is not None:
        print_task(terminal, evaluation)
    if status == "finished":
        terminal.next_step(f"open {run / 'report.html'}{_USE.get(state['kind'], '').format(run)}")
    elif status in ("stopped", "killed"):
        terminal.next_step(_resume(state["kind"], run))


@runs.command()
def compare(
    named: Annotated[list[Path], typer.Argument(metavar="RUN", help="Two run directories or more.")],
    report: Annotated[Path | None, typer.Option("--report", help="Also write an HTML page with curves here.")] = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Put finished runs side by side."""
    terminal = Terminal(json=json, quiet=quiet)
    if len({path.resolve() for path in named}) < max(2, len(named)):
        raise RunError(f"give two different runs or more, got {', '.join(map(str, named))}")
    compared = SideBySide([_finished(path, name) for path, name in zip(named, _short_names(named), strict=True)])
    if report is not None:
        files.write_bytes(report, render_comparison(compared.runs).encode())
    terminal.emit(comparison_object(compared, named))
    print_comparison(terminal, compared)
    if report is not None:
        terminal.next_step(f"open {report}")
    else:
        terminal.next_step(f"unmask runs compare {' '.join(map(str, named))} --report compare.html")


def _in_folder(folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, str]], list[str]]:
    """Return the runs in ``folder``, those that can not be read and why, and the names of the other folders."""
    if not folder.is_dir():
        raise RunError(f"{folder}: is not a folder; give the one that your runs are in")
    if (folder / "run.json").is_file():
        raise RunError(f"{folder}: is a run itself; see unmask runs show {folder}")
    found, damaged, others = [], [], []
    for path in sorted(folder.iterdir()):
        if not path.is_dir() or path.name.startswith("."):
            continue
        if not (path / "run.json").exists():
            others.append(path.name)
            continue
        try:
            found.append(_listed(path))
        except RunError as error:
            damaged.append({"run": path.name, "why": str(error)})
    return found, damaged, others


def _listed(path: Path) -> dict[str, Any]:
    run = RunDirectory(path)
    state, evaluation = run.state, run.read("evaluation.json")
    return {
        "run": path.name,
        "kind": state.get("kind"),
        "status": _status(run),
        **{key: state.get(key) or 0 for key in ("step", "max_steps", "tokens", "seconds")},
        "created": state.get("created"),
        "fingerprint": at(evaluation, "frozen", "fingerprint"),
        "masked": _figure(at(evaluation, "mlm", "cross_entropy", "masked")),
        "bits_per_character": _figure(at(evaluation, "mlm", "bits_per_character")),
    }


def _figure(value: object) -> dict[str, Any] | None:
    found = read_figure(value)
    return None if found is None else asdict(found)


def _status(run: RunDirectory) -> str:
    """Return the run's status; ``killed`` is one that says it is running, and no process holds it."""
    status = str(run.state.get("status"))
    return "killed" if status == "running" and not run.is_held() else status


def _resume(kind: str, run: Path) -> str:
    return f"unmask {'finetune' if kind == 'curve' else kind} --resume {run}"


def _hint(terminal: Terminal, folder: Path, found: Sequence[Mapping[str, Any]]) -> None:
    open_ends = [run for run in found if run["status"] in ("stopped", "killed")]
    finished = [str(folder / run["run"]) for run in found if run["fingerprint"]]
    if open_ends:
        terminal.next_step(_resume(open_ends[0]["kind"], folder / open_ends[0]["run"]))
    elif len(finished) > 1:
        terminal.next_step(f"unmask runs compare {' '.join(finished[:2])}")
    elif found:
        terminal.next_step(f"unmask runs show {folder / found[0]['run']}")
    else:
        terminal.next_step("unmask pretrain --corpus DIR|SOURCE --out RUN")


def _print_state(terminal: Terminal, run: RunDirectory, state: Mapping[str, Any], status: str) -> None:
    environment = run.read("environment.json") or {}
    attempts = f", {state['attempt']} attempts" if state["attempt"] > 1 else ""
    rows = [
        ("run", f"{run.path}: {state['kind']}, {status}{attempts}"),
        ("begun", str(state.get("created", ""))[:19].replace("T", " ")),
        ("steps", f"{count(state['step'])} of {count(state['max_steps'])}"),
        ("seen", f"{count(state.get('tokens', 0))} tokens in {duration(state.get('seconds', 0.0))}"),
        ("model", _model(state)),
        ("corpus", f"{at(state, 'corpus', 'path')}, fingerprint {at(state, 'corpus', 'fingerprint')}"),
        ("machine", ", ".join(f"{key} {plain(environment[key])}" for key in OF_THE_MACHINE if key in environment)),
        ("checkpoints", ", ".join(path.name for path in run.checkpoints()) or "none yet"),
    ]
    terminal.facts(rows)


def _model(state: Mapping[str, Any]) -> str:
    """Return what kind of model a run holds, or what it starts from."""
    preset, parameters = at(state, "model", "preset"), at(state, "model", "parameters")
    what = preset or f"from {plain(at(state, 'parent', 'path'))}"
    return f"{what}, {count(parameters)} parameters" if parameters else what


def _print_on_the_way(terminal: Terminal, lines: Sequence[Mapping[str, Any]]) -> None:
    """Print a few of the evaluations on the way, the first and the last among them."""
    if not lines:
        terminal.result("It has not been evaluated yet.")
        return
    last = len(lines) - 1
    places = sorted({round(number * last / (MAX_POINTS - 1)) for number in range(MAX_POINTS)})
    rows = [
        (
            count(line["step"]), count(line["tokens"]), duration(line["seconds"]),
            *(plain(None) if line[kind] is None else f"{line[kind]:.3f}" for kind in ("masked", "random", "kept")),
        )
        for line in (lines[place] for place in places)
    ]  # fmt: skip
    terminal.table(["on the way: step", "tokens", "time", "[MASK]", "random", "kept"], rows, words=0)


def _short_names(paths: Sequence[Path]) -> list[str]:
    """Return names for runs: the last part of the path, or all of it where two would be the same."""
    last = [path.resolve().name for path in paths]
    return [name if last.count(name) == 1 else str(path) for name, path in zip(last, paths, strict=True)]


def _finished(path: Path, name: str) -> FinishedRun:
    run = RunDirectory(path)
    evaluation = run.read("evaluation.json")
    if evaluation is None:
        state = run.state
        how_far = f"{_status(run)}, step {count(state['step'])} of {count(state['max_steps'])}"
        raise RunError(f"{path}: has no evaluation.json yet ({how_far}); runs are compared once they have finished")
    if read_figure(at(evaluation, "mlm", "cross_entropy", "masked")) is None:
        raise RunError(f"{path / 'evaluation.json'}: holds no figure at [MASK] positions; leave this run out")
    return FinishedRun(
        name=name,
        run=run.state,
        settings=run.settings,
        environment=run.read("environment.json") or {},
        metrics=run.metrics(),
        evaluation=evaluation,
    )
