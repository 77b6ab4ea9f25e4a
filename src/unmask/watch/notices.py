"""Telling others of an alarm: a message to a webhook, and figures that Prometheus picks up from a file.

What bites: a message that nobody took must not be lost, and must not stop a check either. So what went wrong is
returned in words, and who checks keeps the message for the next time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from typing import Any
from urllib.request import Request, urlopen

from unmask.errors import SettingError

SECONDS = 10.0
"""How long a webhook may take."""


def require_url(url: str) -> str:
    """Return ``url``. Raises SettingError where it is not of the web."""
    if not url.startswith(("http://", "https://")):
        raise SettingError(f"--webhook must be a URL that begins with http:// or https://, got {url!r}")
    return url


def send(url: str, message: Mapping[str, Any], seconds: float = SECONDS) -> str | None:
    """Post ``message`` as JSON; return what went wrong, or None where it was taken."""
    data = json.dumps(message, allow_nan=False).encode()
    request = Request(require_url(url), data, {"content-type": "application/json"})  # noqa: S310  # of the web
    try:
        with urlopen(request, timeout=seconds):  # noqa: S310  # of the web
            return None
    except (OSError, HTTPException, ValueError) as error:  # what urllib, the network and a bad address raise
        return f"{url}: took no message ({error})"


def sent(url: str, messages: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], str | None]:
    """Post ``messages`` in their order up to the first that is not taken; return those left, and what went wrong."""
    for place, message in enumerate(messages):
        if wrong := send(url, message):
            return list(messages[place:]), wrong
    return [], None


def gauges(model: str, latest: Mapping[str, Any] | None, *, alarm: bool, until: float | None) -> str:
    """Return what a check found as Prometheus reads it from a file."""
    of_model = _labels(model=model)
    rows = [("unmask_watch_alarm", "Whether an alarm is on.", of_model, float(alarm))]
    if until is not None:
        rows.append(("unmask_watch_checked_until_seconds", "Until when traffic was judged.", of_model, until))
    if latest is not None:
        rows.append(("unmask_watch_window_requests", "Requests in the newest window.", of_model, latest["rows"]))
        signals = [(_labels(model=model, signal=one["name"]), one) for one in latest["signals"]]
        rows += [
            ("unmask_watch_p_ratio", "How rare the newest window is.", labels, one["p"]) for labels, one in signals
        ]
        rows += [
            ("unmask_watch_changed_ratio", "Share of the requests that changed at least.", labels, one["effect"])
            for labels, one in signals
        ]
        figure = (latest.get("quality") or {}).get("estimates") or {}
        if "average_confidence" in figure:
            value = figure["average_confidence"]["value"]
            rows.append(("unmask_watch_estimated_accuracy_ratio", "Estimated without labels.", of_model, value))
    lines, named = [], set()
    for name, words, labels, value in rows:
        if name not in named:
            lines += [f"# HELP {name} {words}", f"# TYPE {name} gauge"]
            named.add(name)
        lines.append(f"{name}{labels} {float(value)!r}")
    return "\n".join(lines) + "\n"


def _labels(**labels: str) -> str:
    def escaped(value: str) -> str:
        return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items()) + "}"
