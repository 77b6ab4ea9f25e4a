"""``unmask watch``: signals of the traffic of a model, and what is made of them."""

from __future__ import annotations

import typer

from unmask.cli.watch_baseline import baseline
from unmask.cli.watch_capture import capture, export
from unmask.cli.watch_check import check
from unmask.cli.watch_labels import labels
from unmask.cli.watch_report import report
from unmask.cli.watch_selftest import selftest

watch = typer.Typer(
    add_completion=False, rich_markup_mode=None, help="Keep signals of a model's traffic, and hear when it changes."
)
watch.command("capture")(capture)
watch.command("export")(export)
watch.command("baseline")(baseline)
watch.command("selftest")(selftest)
watch.command("check")(check)
watch.command("labels")(labels)
watch.command("report")(report)
