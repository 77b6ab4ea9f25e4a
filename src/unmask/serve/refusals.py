"""The one envelope of every error, and the frozen table of what each is.

What bites: clients, balancers and alarms act on these numbers. A refusal under load is 429 and no 5xx, since a 5xx is
retried at once and counted against the service.
"""

from __future__ import annotations

from typing import Any, Final, Literal

Kind = Literal[
    "syntax",
    "unauthorized",
    "not_found",
    "method",
    "slow",
    "too_large",
    "media_type",
    "invalid",
    "overloaded",
    "gone",
    "internal",
    "unavailable",
    "deadline",
]

STATUS: Final[dict[Kind, int]] = {
    "syntax": 400,  # no JSON, no UTF-8, NaN, nested too deep
    "unauthorized": 401,
    "not_found": 404,  # no such model, no such route
    "method": 405,
    "slow": 408,  # a body that does not arrive
    "too_large": 413,  # bytes, items, or more tokens than could ever wait
    "media_type": 415,
    "invalid": 422,  # well-formed, and can not be answered: no mask, too long, a task that the model has not
    "overloaded": 429,
    "gone": 499,  # logged alone: who asked has hung up
    "internal": 500,
    "unavailable": 503,  # not ready, or about to stop
    "deadline": 504,
}


class Refused(Exception):
    """A request that is answered with an error; ``message`` is one line for the one who asked."""

    def __init__(self, kind: Kind, message: str, *, param: str | None = None, retry_after: float | None = None) -> None:
        """Say what is wrong, with which part of the body, and when it may be tried again (seconds)."""
        super().__init__(message)
        self.kind, self.message, self.param, self.retry_after = kind, message, param, retry_after

    @property
    def status(self) -> int:
        """The status code."""
        return STATUS[self.kind]

    def envelope(self, request_id: str) -> dict[str, Any]:
        """Return the body of the answer."""
        error: dict[str, Any] = {
            "type": self.kind,
            "message": self.message,
            "param": self.param,
            "code": self.status,
            "request_id": request_id,
        }
        if self.retry_after is not None:
            error["retry_after"] = round(self.retry_after, 3)
        return {"error": error}
