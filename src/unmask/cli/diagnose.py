"""``unmask diagnose``: can a fine-tuned model's figure be believed, and what would raise it.

What bites: it ends with 1 where the figure can not be believed; what would raise it is no failure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Annotated, Any

import typer

from unmask import files
from unmask.cli.diagnosis_case import Work, case_of
from unmask.cli.figures import in_brackets
from unmask.cli.labelled import fields_of
from unmask.cli.pages import write_page
from unmask.cli.terminal import JsonFlag, QuietFlag, Report, Terminal, progress_for
from unmask.errors import CheckFailed
from unmask.report.diagnosis_page import render_diagnosis
from unmask.stats import bootstrap
from unmask.watch.diagnosis.case import Case, Finding
from unmask.watch.diagnosis.checks import believed, raising

FORMAT, VERSION = "unmask-diagnosis", 1
_MARKS = {"found": "FAILS", "clear": "passes", "skipped": "\u2013"}
_SHOWN, _LONGEST = 2, 100
"""Examples of a finding on the terminal, and their characters; all of them are in the report."""
Where = str | PathLike[str]


def diagnose_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A fine-tuned model, best as its run.")],
    dev: Annotated[Path, typer.Option(help="Labelled examples whose figure is to be understood.")],
    train: Annotated[
        Path | None, typer.Option(help="What it was trained on; by default the file that its run recorded.")
    ] = None,
    traffic: Annotated[
        Path | None, typer.Option(help="A store of unmask serve --watch, or a file of texts as they are asked.")
    ] = None,
    figure: Annotated[str | None, typer.Option(help="The figure to raise; by default the task's headline.")] = None,
    by: Annotated[
        list[str] | None, typer.Option(help="A field of the --dev file whose values are slices to be looked at.")
    ] = None,
    field: Annotated[list[str] | None, typer.Option(help="OURS=THEIRS: what the files call a field of ours.")] = None,
    report: Annotated[Path | None, typer.Option(help="An HTML page to write.")] = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Say whether a figure can be believed, and what would raise it."""
    terminal = Terminal(json=json, quiet=quiet)
    if report is not None:
        files.refuse_unwritable(report)
    found = diagnose(
        model, dev, train=train, traffic=traffic, figure=figure, by=by or (), fields=fields_of(field),
        progress=not quiet,
    )  # fmt: skip
    terminal.emit(found)
    _print(terminal, found)
    if report is not None:
        write_page(terminal, report, render_diagnosis(found))
    if failing := [one["check"] for one in found["believed"] if one["state"] == "found"]:
        raise CheckFailed(f"the figure can not be believed as it stands: {', '.join(failing)}")


def diagnose(
    model: Where,
    dev: Where,
    *,
    train: Where | None = None,
    traffic: Where | None = None,
    figure: str | None = None,
    by: Sequence[str] = (),
    fields: Mapping[str, str] | None = None,
    progress: bool | Report = False,
) -> dict[str, Any]:
    """Return the unmask-diagnosis of the fine-tuned ``model`` by the labelled examples in ``dev``.

    ``believed`` is in the order of causes, what fails first; ``raise`` by gain, a difference of ``figure``. ``train``
    is what it learned from, ``traffic`` a store or a file of texts; checks that lack theirs are marked as skipped.
    ``by`` names fields of ``dev`` whose values are slices.
    Raises UserError for what can not be read, or does not fit the model.
    """
    work = Work(
        model=Path(model),
        dev=Path(dev),
        train=None if train is None else Path(train),
        traffic=None if traffic is None else Path(traffic),
        figure=figure,
        fields=fields,
        slices=by,
    )
    with progress_for(progress) as told:
        case = case_of(work, told)
        one = believed(case)
        two = raising(case, lambda done, total: told("checks", done, total))
    return _object(case, one, two)


def _object(case: Case, one: Sequence[Finding], two: Sequence[Finding]) -> dict[str, Any]:
    value = bootstrap(case.dev.per_item, case.combine)
    return {
        "format": FORMAT,
        "version": VERSION,
        "model": {"path": case.files.model, "task": case.block.name},
        "figure": {"name": case.figure, "value": value.plain()},
        "believed": [finding.plain() for finding in one],
        "raise": [finding.plain() for finding in two],
    }


def _print(terminal: Terminal, found: Mapping[str, Any]) -> None:
    figure, value = found["figure"]["name"], found["figure"]["value"]
    terminal.result(f"{figure} {in_brackets(value)} on {value['n']:,} examples")
    terminal.title("Can the figure be believed?")
    terminal.facts((_MARKS[one["state"]], one["check"], one["says"]) for one in found["believed"])
    terminal.title("What would raise it?")
    raised = [one for one in found["raise"] if one["state"] == "found"]
    if raised:
        terminal.facts((_gain(one), one["check"], one["says"]) for one in raised)
    else:
        terminal.result("Nothing of what was looked at.")
    for one in [*found["believed"], *raised]:
        if one["state"] == "found":
            terminal.title(one["check"])
            if one["examples"]:
                terminal.facts((part["where"], _short(part["text"]), part["why"]) for part in one["examples"][:_SHOWN])
            terminal.result(f"next: {one['next']['advice']}")
            terminal.result(f"  {one['next']['command']}")
    if skipped := [one for one in found["raise"] if one["state"] == "skipped"]:
        terminal.title("Not looked at")
        terminal.facts((one["check"], one["says"]) for one in skipped)


def _short(text: str) -> str:
    """Return the beginning of a text, on one line."""
    flat = " ".join(text.split())
    return flat if len(flat) <= _LONGEST else f"{flat[: _LONGEST - 2]} \u2026"


def _gain(finding: Mapping[str, Any]) -> str:
    return "" if finding["gain"] is None else f"{100 * finding['gain']['value']:+.1f} {finding['basis']}"
