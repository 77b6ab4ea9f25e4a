"""Where what can be made again is kept: the user's cache."""

from __future__ import annotations

import os
from pathlib import Path

from unmask.errors import UserError


def user_cache() -> Path:
    """Return the folder of this project in the user's cache; it need not be there yet.

    Raises UserError where the user has no home to keep it in.
    """
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if chosen.is_absolute():  # the XDG standard ignores relative ones
        return chosen / "unmask"
    try:
        return Path.home() / ".cache" / "unmask"
    except RuntimeError:
        raise UserError("there is no home folder to keep a cache in; set XDG_CACHE_HOME to a folder") from None
