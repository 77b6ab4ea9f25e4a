"""The tree of errors that are the user's to mend.

Each carries one line that names the key or file, the value and the way out. Only the command line catches them;
everything else that is raised is a bug of ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


class UserError(Exception):
    """A mistake that the user can mend; its text is the one line that the user reads."""


class SettingError(UserError):
    """A setting that is unknown, of the wrong type or out of range."""


class DataError(UserError):
    """A file of text or of the corpus that can not be read as what it claims to be."""

    def __init__(self, path: Path | str, what: str, *, line: int | None = None) -> None:
        """Say ``what`` is wrong with ``path``, at ``line`` (counted from 1) where that is known."""
        super().__init__(f"{path}:{line}: {what}" if line is not None else f"{path}: {what}")


class ModelError(UserError):
    """A model, checkpoint or tokenizer that does not fit what was asked of it."""


class RunError(UserError):
    """A run directory that is in the way, missing, damaged or in use."""


class PeerLost(UserError):
    """Another process of the same run is gone: this one can not go on alone, and the last checkpoint counts."""


class FailedElsewhere(UserError):
    """What failed in the first process of a run, which has said so: the others end without a word."""


class HubError(UserError):
    """A hub of models that did not do what was asked: not logged in, no right to, not reached."""


class MissingExtra(UserError):
    """A command whose optional packages are not installed."""

    def __init__(self, extra: str, package: str) -> None:
        """Name the ``package`` that did not import and the ``extra`` that brings it."""
        super().__init__(f"this needs {package}, which is not installed: pip install 'unmask[{extra}]'")


class CheckFailed(Exception):
    """A check that did its work and said no (a gate, a comparison): exit code 1."""


class Stopped(Exception):
    """A run that a signal stopped after a checkpoint was written: exit code 75, and it can be resumed."""

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows in place of a trace: nothing went wrong."""
        return [f"Stopped: {self}"]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the known name nearest to ``name``, or nothing."""
    near = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""
