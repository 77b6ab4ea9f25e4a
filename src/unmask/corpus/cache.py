"""Where what can be made again is kept: the user's cache."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache() -> Path:
    """Return the folder of this project in the user's cache; it need not be there yet."""
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    base = chosen if chosen.is_absolute() else Path.home() / ".cache"  # the XDG standard ignores relative ones
    return base / "unmask"
