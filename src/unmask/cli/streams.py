"""Standard output and standard error: the one place that writes to them, and what happens where nobody reads.

Without a reader of results the command ends, without one of words it goes on. What bites: what a stream still holds at
the end of Python is written then, and fails with a code of Python's own; so results are flushed before.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TextIO

from rich.console import Console

from unmask.errors import UserError


def complain(message: str) -> None:
    """Print ``message`` as the one line that an error is."""
    console(stderr=True).print(f"unmask: {' '.join(message.split())}", soft_wrap=True)


def print_line(text: str) -> None:
    """Print ``text`` on standard output as it stands. Raises like flush_results."""
    with _answered():
        sys.stdout.write(f"{text}\n")


def flush_results() -> None:
    """Hand over what was printed. Raises BrokenPipeError where nobody reads it, UserError for a full disk."""
    with _answered():
        sys.stdout.flush()


def flush_words() -> None:
    """Hand over what was said on standard error; where nobody reads that, it is thrown away."""
    try:
        sys.stderr.flush()
    except OSError:
        _lead_nowhere(sys.stderr)


def console(*, stderr: bool) -> Console:
    """Return a console of rich's that takes text as it stands."""
    return _Console(stderr=stderr, markup=False, highlight=False, emoji=False)


class _Console(Console):
    def print(self, *things: Any, **how: Any) -> None:
        """Print as rich does, and raise like flush_results where it is results that are printed."""
        with nullcontext() if self.stderr else _answered():
            super().print(*things, **how)

    def on_broken_pipe(self) -> None:
        """Be told by rich that nobody reads; its own answer is exit code 1."""
        if not self.stderr:
            raise BrokenPipeError
        self.quiet = True
        _lead_nowhere(sys.stderr)


@contextmanager
def _answered() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        _lead_nowhere(sys.stdout)
        if isinstance(error, BrokenPipeError):
            raise BrokenPipeError from None  # one that carries a number is turned into exit code 1 by typer
        raise UserError(f"standard output: can not be written ({error.strerror})") from None


def _lead_nowhere(stream: TextIO) -> None:
    """Throw away what ``stream`` holds and is still given."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
