"""What a command speaks through: results on standard output, words and progress on standard error.

What bites: texts and tokens hold square brackets ("[MASK]"), which rich takes for markup; it is off everywhere here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from types import TracebackType
from typing import Annotated, Any, Self

import typer
from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from unmask.cli.streams import console, print_line

Report = Callable[..., None]
"""Who is told of progress: a function of (stage, done, total, words); see :class:`Progress`."""

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
QuietFlag = Annotated[bool, typer.Option("--quiet", help="No progress and no hints; results only.")]
SeedOption = Annotated[int | None, typer.Option("--seed", min=0, help="Where chance starts: training.seed.")]

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_FRAMES = 0.1
NAME_WIDTH, BAR_WIDTH = 18, 10


def count(number: int) -> str:
    """Return a count as people write it: 1,234."""
    return f"{number:,}"


def rate(number: float, unit: str) -> str:
    """Return a rate as people say it: 8.1k tokens/s."""
    for bound, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= bound * 0.9995:
            return f"{number / bound:.1f}{letter} {unit}/s"
    return f"{number:.3g} {unit}/s"


def duration(seconds: float) -> str:
    """Return a time in the two largest units that matter: 4 min 59 s, 2 h 5 min, 0.8 s."""
    if seconds < 9.95:
        return f"{seconds:.2g} s"
    whole = round(seconds)
    for unit, name, small, small_name in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= unit:
            rest = whole % unit // small
            return f"{whole // unit} {name} {rest} {small_name}" if rest else f"{whole // unit} {name}"
    return f"{whole} s"


class Terminal:
    """What a command speaks through: ``json`` leaves standard output to one object, ``quiet`` leaves results alone."""

    def __init__(self, *, json: bool = False, quiet: bool = False) -> None:
        self.json = json
        self.quiet = quiet
        self._emitted = False
        self._results = console(stderr=False)
        self._words = console(stderr=True)

    def say(self, words: str | Text = "") -> None:
        """Tell the user what is going on, on standard error."""
        if not self.quiet:
            self._words.print(words, soft_wrap=not self._words.is_terminal)

    def next_step(self, command: str) -> None:
        """Tell the user what to type next."""
        if not self.json:
            self.say(f"\nNext: {command}")

    def emit(self, value: Mapping[str, Any]) -> None:
        """Print ``value`` as the one object on standard output, under --json only."""
        if self.json:
            assert not self._emitted, "standard output holds one object"
            print_line(json.dumps(value, ensure_ascii=False, allow_nan=False))
            self._emitted = True

    def result(self, text: str | Text) -> None:
        """Print a result, unless --json speaks."""
        if not self.json:
            self._results.print(text, soft_wrap=not self._results.is_terminal)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "", words: int = 1) -> None:
        """Print a table, unless --json speaks: the first ``words`` columns hold words, the others figures."""
        if self.json:
            return
        if title:
            self.title(title)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for place, column in enumerate(columns):
            table.add_column(column, justify="left" if place < words else "right", overflow="fold")
        for row in rows:
            table.add_row(*row)
        self._print_table(table)

    def title(self, text: str) -> None:
        """Print the heading of what follows, unless --json speaks."""
        if not self.json:
            self._results.print(f"\n{text}", style="bold")

    def facts(self, rows: Iterable[Sequence[str]]) -> None:
        """Print rows of words without a heading, unless --json speaks; what is long goes on in its own column."""
        if self.json:
            return
        table = Table.grid(padding=(0, 2))
        for row in rows:
            table.add_row(*row)
        self._print_table(table)

    def _print_table(self, table: Table) -> None:
        """Print ``table`` without a blank line above it and without the spaces that fill its lines up."""
        with self._results.capture() as drawn:
            self._results.print(table)
        lines = [line.rstrip() for line in drawn.get().splitlines()]
        print_line("\n".join(lines if lines[0] else lines[1:]))

    def progress(self) -> Progress:
        """Return a fresh display of progress, to be entered with ``with``."""
        return Progress(self._words, quiet=self.quiet)


class Progress:
    """Progress through stages: ``progress("reading", done, total, "words")``; another name begins another stage.

    A line that redraws where standard error is a terminal, and in a notebook; elsewhere plain lines: the first, the
    last, and between them one every ten seconds. ``total`` is None where the end is not known.
    """

    def __init__(self, console: Console, *, quiet: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._quiet = quiet
        self._clock = clock
        self._show: _Redrawn | _PlainLines | _InNotebook
        if console.is_jupyter:
            self._show = _InNotebook()
        else:
            self._show = _Redrawn(console) if console.is_terminal else _PlainLines(console)
        self._stage: _Stage | None = None

    def __call__(self, stage: str, done: int, total: int | None = None, words: str = "") -> None:
        """Note that ``done`` of ``total`` are done in ``stage``; shown now or a little later."""
        if self._quiet:
            return
        now = self._clock()
        if self._stage is None or self._stage.name != stage:
            self._end(now)
            self._stage = _Stage(stage, began=now)
        at = self._stage
        at.done, at.total, at.words = done, total, words
        if now >= at.show_next:
            self._show.now(at)
            at.show_next = now + self._show.seconds_between

    def __enter__(self) -> Self:
        """Begin to show."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Show where things stand and leave the terminal as it was, whatever happened."""
        self._end(self._clock())

    def _end(self, now: float) -> None:
        if self._stage is not None:
            self._show.last(self._stage, now - self._stage.began)
        self._stage = None


def progress_for(progress: bool | Report) -> AbstractContextManager[Report]:
    """Return the display of progress that a function of Python is asked for: ours, none, or the caller's own."""
    return Terminal(quiet=not progress).progress() if isinstance(progress, bool) else nullcontext(progress)


@dataclass(slots=True)
class _Stage:
    name: str
    began: float
    show_next: float = float("-inf")
    done: int = 0
    total: int | None = None
    words: str = ""

    @property
    def bar(self) -> str:
        """How far it is, drawn; nothing where the end is not known."""
        filled = round(BAR_WIDTH * self.done / self.total) if self.total else 0
        return "━" * filled + "─" * (BAR_WIDTH - filled) if self.total else ""

    def how_far(self, between: str = "") -> str:
        """Return name and numbers, with ``between`` after the name."""
        share = f"/{count(self.total)} ({self.done / self.total:.0%})" if self.total else ""
        done = f"{count(self.done)}{share}" if self.done or self.total else ""  # of some stages nothing is counted
        return _joined(f"{self.name:<{NAME_WIDTH}}", between, done)


class _PlainLines:
    """Progress for a log file: whole lines, few of them."""

    seconds_between = SECONDS_BETWEEN_LINES

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown = ""

    def now(self, stage: _Stage) -> None:
        self._shown = _joined(stage.how_far(), stage.words)
        self._console.print(self._shown, soft_wrap=True)

    def last(self, stage: _Stage, seconds: float) -> None:
        line = _joined(stage.how_far(), stage.words)
        if line != self._shown:
            self._console.print(_joined(line, f"in {duration(seconds)}"), soft_wrap=True)


class _Redrawn:
    """Progress on a terminal: a line a stage, the last one moving. Drawn by whoever reports, so there is no thread."""

    seconds_between = SECONDS_BETWEEN_FRAMES

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False)

    def now(self, stage: _Stage) -> None:
        self._live.start()
        self._draw(stage.how_far(stage.bar), stage.words)

    def last(self, stage: _Stage, seconds: float) -> None:
        self._draw(stage.how_far(f"{duration(seconds):<{BAR_WIDTH}}"), stage.words)
        self._live.stop()

    def _draw(self, how_far: str, words: str) -> None:
        line = _joined(how_far, words)
        if len(line) > self._console.width:
            line = f"{how_far}\n  {words}"
        self._live.update(Text(line, no_wrap=True, overflow="ellipsis"), refresh=True)


class _InNotebook:
    """Progress in Jupyter: a line a stage below the cell, the last one moving. Needs no widgets."""

    seconds_between = SECONDS_BETWEEN_FRAMES

    def __init__(self) -> None:
        self._display: Callable[..., Any] = import_module("IPython.display").display
        self._line: Any = None

    def now(self, stage: _Stage) -> None:
        self._draw(_joined(stage.how_far(stage.bar), stage.words))

    def last(self, stage: _Stage, seconds: float) -> None:
        self._draw(_joined(stage.how_far(f"{duration(seconds):<{BAR_WIDTH}}"), stage.words))
        self._line = None

    def _draw(self, text: str) -> None:
        if self._line is None:
            self._line = self._display({"text/plain": text}, raw=True, display_id=True)
        else:
            self._line.update({"text/plain": text}, raw=True)


def _joined(*parts: str) -> str:
    return "  ".join(filter(None, parts))
