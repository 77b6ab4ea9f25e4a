"""What is printed where: results, words, progress, JSON."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterable
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from unmask.cli.streams import complain
from unmask.cli.terminal import Progress, Terminal, count, duration, rate

Call = tuple[float, str, int, int | None, str]


class Clock:
    """A clock that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def speak(terminal: Terminal) -> None:
    terminal.say("training")
    terminal.result("filled [MASK] with [bold]")
    terminal.table(["place", "nats"], [["at [MASK]", "4.04"]], title="Held out")
    terminal.emit({"value": 1.5, "text": "é"})
    terminal.next_step("unmask evaluate RUN")


def test_results_and_words_go_their_ways_unmarked(capsys: pytest.CaptureFixture[str]) -> None:
    speak(Terminal())
    out, err = capsys.readouterr()
    assert "filled [MASK] with [bold]\n" in out
    assert "Held out" in out
    assert "at [MASK]" in out
    assert "value" not in out
    assert err == "training\n\nNext: unmask evaluate RUN\n"


def test_json_is_alone_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    speak(Terminal(json=True))
    out, err = capsys.readouterr()
    assert json.loads(out) == {"value": 1.5, "text": "é"}
    assert err == "training\n"


def test_a_second_object_is_a_bug(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(json=True)
    terminal.emit({})
    with pytest.raises(AssertionError, match="one object"):
        terminal.emit({})
    assert capsys.readouterr().out == "{}\n"


def test_quiet_leaves_results_only(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(quiet=True)
    speak(terminal)
    with terminal.progress() as progress:
        progress("reading", 1, 2)
    out, err = capsys.readouterr()
    assert "filled" in out
    assert err == ""


def test_an_error_is_one_line_however_long(capsys: pytest.CaptureFixture[str]) -> None:
    complain("tokenizer.json:\n" + "a long word " * 30 + "[MASK]")
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.endswith("a long word [MASK]\n")


def test_a_table_fits_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().table(["where", "n"], [["/a/very/long/path" * 8, count(1234567)]])
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "1,234,567" in out


def plain_lines(calls: Iterable[Call]) -> list[str]:
    console, clock = Console(file=io.StringIO(), markup=False, width=80), Clock()
    with Progress(console, clock=clock) as progress:
        for seconds, stage, done, total, words in calls:
            clock.now = 100.0 + seconds
            progress(stage, done, total, words)
    written: io.StringIO = console.file  # type: ignore[assignment]
    return [" ".join(line.split()) for line in written.getvalue().splitlines()]


def test_progress_that_no_terminal_shows_is_first_last_and_one_line_in_ten_seconds() -> None:
    steps: list[Call] = [(second / 4, "training", second * 10, 1000, "[MASK] 5.0") for second in range(101)]
    assert plain_lines(steps) == [
        "training 0/1,000 (0%) [MASK] 5.0",
        "training 400/1,000 (40%) [MASK] 5.0",
        "training 800/1,000 (80%) [MASK] 5.0",
        "training 1,000/1,000 (100%) [MASK] 5.0 in 25 s",
    ]


def test_each_stage_begins_and_ends_in_a_line() -> None:
    calls: list[Call] = [
        (0, "reading", 1, None, ""),
        (2, "reading", 900, None, ""),
        (3, "packing", 1, 7, ""),
        (63, "packing", 7, 7, ""),
    ]
    assert plain_lines(calls) == ["reading 1", "reading 900 in 3 s", "packing 1/7 (14%)", "packing 7/7 (100%)"]


def test_progress_on_a_terminal_redraws_one_line_a_stage() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, markup=False, width=80, color_system=None)
    clock = Clock()
    with Progress(console, clock=clock) as progress:
        for done in range(101):
            clock.now += 0.05
            progress("training", done, 100, "word " * 30)
        progress("packing", 1, None)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert 45 < text.count("training") < 60  # every second call, and the end
    assert "━━━━━─────  50/100 (50%)" in text
    assert "5 s         100/100 (100%)" in text
    assert text.rstrip().endswith("\x1b[?25h")  # the cursor is back


def test_words_that_do_not_fit_beside_the_numbers_stand_below_them() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, markup=False, width=80, color_system=None)
    with Progress(console) as progress:
        progress("training", 5, 10, "masked 5.02 random 5.10 kept 0.61  8.1k tok/s  4 min 12 s left")
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert any(line.endswith("5/10 (50%)") for line in lines)
    assert "  masked 5.02 random 5.10 kept 0.61  8.1k tok/s  4 min 12 s left" in lines


def test_progress_ends_its_line_when_work_fails() -> None:
    console = Console(file=io.StringIO(), width=80)

    def work() -> None:
        with Progress(console, clock=Clock()) as progress:
            progress("training", 1, 10)
            progress("training", 2, 10)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert console.file.getvalue().splitlines()[-1].split()[:2] == ["training", "2/10"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.04, "0.04 s"), (9.4, "9.4 s"), (9.96, "10 s"), (59.7, "1 min"), (299, "4 min 59 s"), (3600, "1 h"),
     (7500, "2 h 5 min"), (3659, "1 h"), (90_000, "1 d 1 h")],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@given(st.floats(10, 1e7))
def test_a_duration_is_never_a_full_unit_short(seconds: float) -> None:
    sizes = {"d": 86_400, "h": 3_600, "min": 60, "s": 1}
    words = duration(seconds).split()
    shown = sum(int(number) * sizes[unit] for number, unit in zip(words[::2], words[1::2], strict=True))
    smallest = {"d": 3_600, "h": 60, "min": 1, "s": 1}[words[1]]
    assert -0.5 <= seconds - shown < smallest + 0.5


def test_counts_and_rates() -> None:
    assert count(1234) == "1,234"
    assert [rate(n, "tokens") for n in (12.34, 999.6, 8123.4, 2.5e6)] == [
        "12.3 tokens/s",
        "1.0k tokens/s",
        "8.1k tokens/s",
        "2.5M tokens/s",
    ]


class Line:
    """Stands for a line that IPython shows below a cell."""

    def __init__(self, text: str) -> None:
        self.texts = [text]

    def update(self, data: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.texts.append(data["text/plain"])


def test_in_a_notebook_each_stage_is_one_line_that_redraws(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[Line] = []

    def display(data: dict[str, str], *, raw: bool, display_id: bool) -> Line:
        assert raw
        assert display_id
        lines.append(Line(data["text/plain"]))
        return lines[-1]

    module = ModuleType("IPython.display")
    module.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    clock = Clock()
    with Progress(Console(force_jupyter=True), clock=clock) as progress:
        for step in range(4):
            progress("training", step, 3, f"loss {step}")
            clock.now += 1
        progress("measuring", 1)
    assert [line.texts[0] for line in lines] == [
        "training            ──────────  0/3 (0%)  loss 0",
        "measuring           1",
    ]
    assert lines[0].texts[1] == "training            ━━━───────  1/3 (33%)  loss 1"
    assert lines[0].texts[-1] == "training            4 s         3/3 (100%)  loss 3"
