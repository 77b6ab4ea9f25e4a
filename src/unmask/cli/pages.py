"""Writing the page of a command where the user wants it."""

from __future__ import annotations

from pathlib import Path

from unmask import files
from unmask.cli.terminal import Terminal


def write_page(terminal: Terminal, path: Path, page: str) -> None:
    """Write ``page`` at ``path``, its folder made first, and say how to open it. Raises UserError like write_bytes."""
    with files.answered(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    files.write_bytes(path, page.encode())
    terminal.next_step(f"open {path}")
