"""What is kept of the traffic, and for how long."""

from __future__ import annotations

from unmask.settings import Positive, Settings, Share


class WatchSettings(Settings):
    """Limits of what is captured."""

    sample: Share = 0.01
    """Share of the texts that networks are asked about once more, while nobody else asks them anything."""
    texts: bool = False
    """Keep the texts themselves beside their signals."""
    days: Positive = 90.0
    """Signals that are older are removed."""
    megabytes: Positive = 1024.0
    """Where the database grows larger, the oldest signals are removed."""
