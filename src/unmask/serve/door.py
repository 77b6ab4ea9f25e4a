"""The one door: every request with a body is read strictly, answered by its deadline, and told about without its text.

What bites: frameworks answer their own errors in shapes of their own. Here each leaves with one envelope, whatever went
wrong.
"""

from __future__ import annotations

import asyncio
import hmac
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ValidationError
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from unmask.errors import ModelError
from unmask.serve.body import read_json
from unmask.serve.described import RESPONSES, described
from unmask.serve.models import ServedModel
from unmask.serve.refusals import Refused
from unmask.serve.service import Service

Handler = Callable[[Any, "Ticket"], Awaitable[Any]]
"""From a checked body and its ticket to what is answered as JSON."""


class Ticket:
    """One request on its way: by when it is answered, and where its time went."""

    def __init__(self, service: Service, route: str, request_id: str) -> None:
        """Start its clock."""
        self._service, self.route, self.request_id = service, route, request_id
        self.started = time.perf_counter()
        self.deadline = time.monotonic() + service.settings.deadline_seconds
        self.model = ""
        self.canary = ""  # the name of the canary that answers in place of the model
        self.afterwards: BackgroundTask | None = None  # what is done once the answer is out
        self.truncated_tokens = 0
        self.is_large = False  # so many texts that they are cut into tokens beside the event loop
        self.seconds = {"tokenize": 0.0, "queue": 0.0, "inference": 0.0}

    async def answer(self, model: ServedModel, question: Any) -> Any:
        """Return the answer of ``model`` to ``question``. Raises Refused."""
        answers: Any = None
        try:
            while True:
                start = time.perf_counter()
                asks = await asyncio.to_thread(_step, question, answers) if self.is_large else _step(question, answers)
                self.seconds["tokenize"] += time.perf_counter() - start
                if isinstance(asks, _Done):
                    return asks.value
                job = await self._service.batcher.ask(model.name, asks, self.deadline)
                self.seconds["queue"] += (job.started_at or job.queued_at) - job.queued_at
                self.seconds["inference"] += job.inference_seconds
                answers = job.answers
        except ModelError as error:
            raise Refused("invalid", str(error), param="inputs") from None


class _Done:
    def __init__(self, value: Any) -> None:
        self.value = value


def _step(question: Any, answers: Any) -> Any:
    """Return what ``question`` asks next, or that it is done."""
    try:
        return next(question) if answers is None else question.send(answers)
    except StopIteration as end:
        return _Done(end.value)


class Door:
    """What every request with a body goes through."""

    def __init__(self, service: Service, api_keys: Sequence[str]) -> None:
        self.service, self.api_keys = service, [key.encode() for key in api_keys]

    def post(self, app: FastAPI, path: str, body: type[BaseModel] | None, handler: Handler, summary: str) -> None:
        """Add a route."""

        async def endpoint(request: Request) -> Response:
            return await self._through(request, path, body, handler)

        app.post(path, summary=summary, openapi_extra=described(path, body), responses=RESPONSES)(endpoint)

    async def _through(self, request: Request, route: str, body: type[BaseModel] | None, handler: Handler) -> Response:
        ticket = Ticket(self.service, route, request_id(request))
        try:
            self._check(request)
            settings = self.service.settings
            value = await read_json(request, settings.body_bytes, settings.body_seconds)
            asked = parsed(body, value) if body is not None else {**request.path_params, "body": value}
            answer = await _unless_gone(request, handler(asked, ticket))
            response: Response = JSONResponse(answer, headers=_headers(ticket), background=ticket.afterwards)
            self._note(ticket, 200)
        except Refused as refused:
            response = refusal(refused, ticket.request_id)
            if refused.kind == "overloaded":
                self.service.metrics.dropped("overloaded")
            self._note(ticket, refused.status, refused.message if refused.status == 500 else None)
        return response

    def _check(self, request: Request) -> None:
        """Raise Refused where the request may not be answered, whatever is in it."""
        if self.api_keys:
            given = request.headers.get("authorization", "").removeprefix("Bearer ").encode()
            if not sum(hmac.compare_digest(given, key) for key in self.api_keys):  # each of them, whatever fits
                raise Refused("unauthorized", "give a key of this server: Authorization: Bearer KEY")
        if not self.service.is_taking:
            raise Refused("unavailable", "not ready; try again", retry_after=1.0)

    def _note(self, ticket: Ticket, code: int, why: str | None = None) -> None:
        seconds, metrics = time.perf_counter() - ticket.started, self.service.metrics
        metrics.requests.labels(ticket.route, ticket.model, str(code)).inc()
        metrics.duration.labels(ticket.route).observe(seconds)
        if ticket.truncated_tokens:
            metrics.truncated.labels(ticket.model).inc(ticket.truncated_tokens)
        if code == 200:
            metrics.queue_duration.observe(ticket.seconds["queue"])
        line = {
            "request_id": ticket.request_id,
            "route": ticket.route,
            "model": ticket.model,
            "code": code,
            "seconds": round(seconds, 6),
            **({"truncated_tokens": ticket.truncated_tokens} if ticket.truncated_tokens else {}),
            **({"why": why} if why else {}),
        }
        self.service.log.line(line)


async def _unless_gone(request: Request, work: Awaitable[Any]) -> Any:
    """Return the result of ``work``, or stop it once the client has hung up. Raises Refused."""
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise Refused("gone", "the client hung up")
    finally:
        for one in (task, gone):
            one.cancel()
        with suppress(asyncio.CancelledError, Refused):
            await task


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def parsed(body: type[BaseModel], value: Any) -> Any:
    """Return the checked ``body`` of ``value``. Raises Refused (422)."""
    try:
        return body.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or None
        raise Refused("invalid", f"{where or 'the body'}: {first['msg'].lower()}", param=where) from None


def request_id(request: Request) -> str:
    """Return the id that the client gave its request, or a new one."""
    given = request.headers.get("x-request-id", "")
    return given if 0 < len(given) <= 128 and given.isascii() and given.isprintable() else uuid.uuid4().hex


def _headers(ticket: Ticket) -> dict[str, str]:
    timing = ", ".join(f"{name};dur={1000 * seconds:.2f}" for name, seconds in ticket.seconds.items())
    total = f"total;dur={1000 * (time.perf_counter() - ticket.started):.2f}"
    headers = {"x-request-id": ticket.request_id, "server-timing": f"{timing}, {total}"}
    if ticket.canary:
        headers["x-answered-by"] = ticket.canary
    if ticket.truncated_tokens:
        headers["x-truncated-tokens"] = str(ticket.truncated_tokens)
    return headers


def refusal(refused: Refused, request_id: str) -> Response:
    """Return the answer that says ``refused``."""
    headers = {"x-request-id": request_id}
    if refused.retry_after is not None:
        headers["retry-after"] = str(max(1, round(refused.retry_after)))
    if refused.kind == "unauthorized":
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(refused.envelope(request_id), refused.status, headers)
