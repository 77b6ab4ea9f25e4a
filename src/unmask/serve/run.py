"""The process around the application: signals, connections that say nothing, and how it ends."""

from __future__ import annotations

import asyncio
import resource
from contextlib import suppress
from types import FrameType
from typing import Any, Final

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from unmask.errors import CheckFailed, UserError
from unmask.serve.service import Service

IDLE_SECONDS: Final = 10.0
"""After so long a connection that has asked nothing, or not to the end of its head, is closed."""

HEAD_BYTES: Final = 64 * 1024
"""So long a head may be, and what comes with the bytes that go over it."""


class _Server(uvicorn.Server):
    """A server that goes on answering for a while after it was told to stop, not ready any more."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def give_up(self) -> None:
        """Take no more, and end once what was taken is answered."""
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  # uvicorn's signature
        if self._service.is_draining:  # told twice: now
            self.should_exit = self.force_exit = True
            return
        self._service.is_draining = True
        loop = asyncio.get_event_loop()
        loop.call_soon_threadsafe(loop.call_later, self._service.settings.drain_seconds, self.give_up)


class _Impatient(HttpToolsProtocol):
    """Closes connections on which nothing is asked, or whose head does not end: they cost memory and say nothing."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._idle = self.loop.call_later(IDLE_SECONDS, self._close_if_silent)
        self._head_bytes: int | None = 0  # None while a body is read

    def data_received(self, data: bytes) -> None:
        if self._head_bytes is not None:
            if self._head_bytes > HEAD_BYTES:
                self.send_400_response("The head of the request is too large.")
                return
            self._head_bytes += len(data)
        super().data_received(data)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._idle.cancel()
        self._idle = self.loop.call_later(IDLE_SECONDS, self._close_if_silent)
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        self._idle.cancel()
        self._head_bytes = None
        super().on_headers_complete()

    def _close_if_silent(self) -> None:
        cycle: Any = self.cycle  # None until something is asked, whatever uvicorn's type says
        is_waiting = cycle is None or cycle.response_complete
        if is_waiting and not self.transport.is_closing():
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._idle.cancel()
        super().connection_lost(exc)


def _allow_connections() -> None:
    """Let as many connections be open as the system grants: by itself it grants few, and each is a file."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS says that there is no limit, and keeps one
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def run(app: FastAPI, service: Service, host: str, port: int) -> None:
    """Serve until a signal; every request that was taken is answered first.

    Raises UserError where the address can not be had, CheckFailed where workers die as fast as they are started.
    """
    _allow_connections()
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=_Impatient,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(service.settings.deadline_seconds) + 5,
        backlog=2048,
    )
    server = _Server(config, service)
    service.when_lost = server.give_up
    try:
        server.run()
    except SystemExit:
        raise UserError(f"--host {host} --port {port}: can not be listened on; it is taken, or not yours") from None
    finally:
        service.kill()  # who was told twice to end has not stopped them
    if service.is_lost:
        raise CheckFailed("the workers die as fast as they are started; what they wrote before stands above")
