"""``unmask gate``: let a candidate pass that is shown to be no worse than a baseline. For CI: 0 passes, 1 does not.

What bites: too few examples stop an equal model as well; the page says how many it takes.
"""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path
from typing import Annotated, Any

import typer

from unmask import files
from unmask.cli.gate_work import Work, judgement_of
from unmask.cli.labelled import fields_of
from unmask.cli.pages import write_page
from unmask.cli.terminal import JsonFlag, QuietFlag, Report, Terminal, progress_for
from unmask.errors import CheckFailed
from unmask.report.gate_page import render_gate
from unmask.settings import Changes, read_settings
from unmask.watch.gate import Judgement
from unmask.watch.policy import GatePolicy

FORMAT, VERSION = "unmask-gate", 1
Where = str | PathLike[str]


def gate_command(
    candidate: Annotated[Path, typer.Argument(metavar="CANDIDATE", help="The model that would be put in place.")],
    against: Annotated[Path, typer.Option(help="The baseline: the model that is in place.")],
    dev: Annotated[Path, typer.Option(help="Labelled examples that neither was trained on.")],
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[group.key=value]", help="Changes of the policy.")
    ] = None,
    policy: Annotated[Path | None, typer.Option(help="A YAML file of criteria and margins; see docs/gate.md.")] = None,
    field: Annotated[list[str] | None, typer.Option(help="OURS=THEIRS: what the file calls a field of ours.")] = None,
    report: Annotated[Path | None, typer.Option(help="An HTML page to write.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Where the draws of the bootstrap start.")] = 0,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Let a model pass that is no worse than another."""
    terminal = Terminal(json=json, quiet=quiet)
    if report is not None:
        files.refuse_unwritable(report)
    found = gate(
        candidate, against, dev, policy=policy, settings=settings or (), fields=fields_of(field), seed=seed,
        progress=not quiet,
    )  # fmt: skip
    terminal.emit(found)
    rows = [("passes" if one["passed"] else "STOPS", one["name"], one["says"]) for one in found["criteria"]]
    terminal.facts(rows)
    rate = found["pass_rate"]
    terminal.result(f"At this size an equal model passes {rate['here']:.1%} of the time, {rate['asked']:.1%} is asked.")
    if rate["here"] < rate["asked"]:
        terminal.result(f"For that, give {found['needed']:,} examples; there are {found['examples']:,}.")
    if report is not None:
        write_page(terminal, report, render_gate(found))
    if not found["passed"]:
        raise CheckFailed(f"{candidate} does not pass: {', '.join(row[1] for row in rows if row[0] == 'STOPS')}")


def gate(
    candidate: Where,
    against: Where,
    dev: Where,
    *,
    policy: Where | None = None,
    settings: Changes = (),
    fields: dict[str, str] | None = None,
    seed: int = 0,
    progress: bool | Report = False,
) -> dict[str, Any]:
    """Return the unmask-gate of ``candidate`` beside ``against`` by the labelled examples in ``dev``.

    ``policy`` is a YAML file, ``settings`` changes of it; without both the headline figure alone is asked, with a
    margin of 0.02. Raises UserError for what can not be read, measured, or does not fit.
    """
    chosen = read_settings(GatePolicy, None if policy is None else Path(policy), settings)
    work = Work(
        candidate=Path(candidate), against=Path(against), dev=Path(dev), policy=chosen, fields=fields or {}, seed=seed
    )
    with progress_for(progress) as told:
        judgement, examples = judgement_of(work, told)
    return _object(work, judgement, examples)


def _object(work: Work, judgement: Judgement, examples: int) -> dict[str, Any]:
    verdicts = judgement.verdicts
    grown = max(one.needed / one.difference.n for one in verdicts if one.needed and one.difference)
    return {
        "format": FORMAT,
        "version": VERSION,
        "candidate": fspath(work.candidate),
        "baseline": fspath(work.against),
        "policy": work.policy.plain(),
        "examples": examples,
        "passed": all(one.passed for one in verdicts),
        "criteria": [one.plain() for one in verdicts],
        "pass_rate": {"asked": work.policy.evidence.pass_rate, "here": judgement.pass_rate},
        "needed": max(examples, round(grown * examples)),
    }
