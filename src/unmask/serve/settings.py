"""What the server promises and what bounds it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from unmask.settings import Count, Positive, Settings

TooLong = Literal["error", "truncate", "stride"]


class ServeSettings(Settings):
    """Limits of the server; every one of them is shown under ``/info``."""

    workers: Annotated[int, Field(ge=0, le=256)] = 0
    """Processes that run the network; 0 is one for each ``threads`` that this process may use."""
    threads: Count = 1
    """Threads of each worker: two workers of one thread answer more than one worker of two."""
    batch_tokens: Count = 1024
    """Tokens of a batch, padding included."""
    queue_tokens: Count = 65536
    """Tokens that may wait; what would go over it is refused with 429."""
    deadline_seconds: Positive = 10.0
    """By when a request is answered, whatever the answer."""
    body_seconds: Positive = 10.0
    """By when a body must have arrived."""
    body_bytes: Count = 2 * 1024 * 1024
    """Largest body."""
    items: Count = 1024
    """Most texts in a request."""
    too_long: TooLong = "error"
    """What becomes of a text that is longer than the model reads."""
    drain_seconds: Annotated[float, Field(ge=0)] = 1.0
    """How long requests are still taken after a SIGTERM, not ready any more, so that balancers can turn away."""
