"""Masked language modelling for people who ship encoders.

What bites: importing this loads nothing heavy; each name is fetched when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unmask.cli.measure import load

__version__ = "0.1.0"
__all__ = ["__version__", "load"]

_FRONT_DOOR = {"load": "unmask.cli.measure"}


def __getattr__(name: str) -> Any:
    if name not in _FRONT_DOOR:
        raise AttributeError(f"module 'unmask' has no attribute {name!r}")
    return getattr(import_module(_FRONT_DOOR[name]), name)
