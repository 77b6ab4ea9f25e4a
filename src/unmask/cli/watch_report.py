"""``unmask watch report``: all that is known of a watched model on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unmask import files
from unmask.cli.terminal import JsonFlag, QuietFlag, Terminal
from unmask.cli.watch_baseline import BaselineOption, about, beside, promise
from unmask.cli.watch_labels import read_labelled
from unmask.errors import UserError
from unmask.report.watch_page import render_watch
from unmask.watch.baseline import read_baseline
from unmask.watch.checks import read_checks


def report(
    baseline: BaselineOption = Path("baseline.safetensors"),
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("watch.html"),
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Write what checks, labels and the self-test found as one HTML page."""
    terminal, made = Terminal(json=json, quiet=quiet), read_baseline(baseline)
    files.refuse_unwritable(out)
    checks = read_checks(beside(baseline, "checks"), files.digest(baseline)).plain()
    tried = beside(baseline, "selftest")
    selftest = files.read_object(tried, UserError) if tried.is_file() else None
    known = {**about(made), "promise": promise(made)}
    page = render_watch(known, checks, read_labelled(beside(baseline, "labels")), selftest)
    files.write_bytes(out, page.encode())
    terminal.emit({"out": str(out), "alarm": checks["alarm"]})
    terminal.result(f"{out}: {len(checks['judged']):,} windows, {'an' if checks['alarm'] else 'no'} alarm")
