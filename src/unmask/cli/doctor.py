"""``unmask doctor``: what works on this machine, and what to do about what does not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict

from unmask.cli.checks import Check, compiler, disk, installed, network, processor
from unmask.cli.terminal import JsonFlag, QuietFlag, Terminal
from unmask.errors import CheckFailed

MARKS = {"ok": "ok", "no": "NOT OK", "note": "note"}


def doctor(json: JsonFlag = False, quiet: QuietFlag = False) -> None:
    """Say what works on this machine, and what to do where it does not."""
    terminal = Terminal(json=json, quiet=quiet)
    done: list[Check] = []
    for title, look in GROUPS:
        if look is _self_check and any(check.state == "no" for check in done):
            terminal.say("\nThe self-check waits until that is mended.")
            break
        terminal.title(title)
        for check in look():
            done.append(check)
            _print(terminal, check)
    refused = [check.name for check in done if check.state == "no"]
    checks = [asdict(check) for check in done]
    terminal.emit({"format": "unmask-doctor", "version": 1, "ok": not refused, "checks": checks})
    if refused:
        raise CheckFailed(f"{len(refused)} of {len(done)} checks said no: {', '.join(refused)}")
    terminal.result("\nAll that is needed works.")
    terminal.next_step("unmask demo")


def _self_check() -> Iterator[Check]:
    from unmask.cli.self_check import self_check

    return self_check()


GROUPS: tuple[tuple[str, Callable[[], Iterable[Check]]], ...] = (
    ("Installed", installed),
    ("Processor", processor),
    ("Torch", network),
    ("Compiler", compiler),
    ("Disk", disk),
    ("Self-check: some text, a tiny model, a few seconds", _self_check),
)


def _print(terminal: Terminal, check: Check) -> None:
    remedy = [("", "", f"→ {check.remedy}")] if check.remedy else []
    terminal.facts([(f"{MARKS[check.state]:<6}", f"{check.name:<15}", check.found), *remedy])
