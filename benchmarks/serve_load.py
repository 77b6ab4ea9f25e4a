"""The load that `serve.py` puts on a server: a client that costs little, clients in turn, arrivals on time.

What bites: a client that waits for an answer before it sends the next request measures its own patience. Under
:func:`arriving` requests leave when they are due, whatever became of those before, and their time runs from then on.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import uvloop

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TIMING: Final = re.compile(rb"(\w+);dur=([\d.]+)")
GIVEN_UP: Final = 120.0
"""Seconds after which an answer is not waited for any more."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it goes over the wire, and the tokens that are in it."""

    path: str
    body: dict[str, Any]
    tokens: int

    def wire(self, port: int) -> bytes:
        """Return its bytes."""
        body = json.dumps(self.body).encode()
        head = f"POST {self.path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
        return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of a request: its code (0 where the connection broke), when it was due, and how long it took."""

    code: int
    due: float
    seconds: float
    tokens: int
    timing: dict[str, float]
    """Milliseconds by what the server spent them on, where it says so."""

    @property
    def at(self) -> float:
        """When the answer was there."""
        return self.due + self.seconds


class Link(asyncio.Protocol):
    """A connection that carries one request at a time."""

    def __init__(self) -> None:
        self.is_open, self._said = True, bytearray()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        """See asyncio.Protocol."""
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        """See asyncio.Protocol."""
        self.is_open = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((0, b""))

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._said += data
        head = self._said.find(b"\r\n\r\n")
        if head < 0:
            return
        found = _LENGTH.search(self._said, 0, head)
        assert found is not None, "a server that does not say how long its answer is"
        if len(self._said) >= head + 4 + int(found[1]):
            said, self._said = bytes(self._said), bytearray()
            assert self._answer is not None
            self._answer.set_result((int(said[9:12]), said))

    async def ask(self, wire: bytes) -> tuple[int, bytes]:
        """Return the code and all that was answered to ``wire``."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(wire)
        try:
            async with asyncio.timeout(GIVEN_UP):
                return await self._answer
        except TimeoutError:
            self._transport.abort()
            return 0, b""


class Client:
    """As many connections to one port as are needed at a time."""

    def __init__(self, port: int) -> None:
        self.port, self._idle = port, list[Link]()

    async def ask(self, asked: Asked, due: float) -> Answered:
        """Return what comes of ``asked``, counted from ``due``."""
        link = await self._link()
        code, said = await link.ask(asked.wire(self.port))
        if link.is_open:
            self._idle.append(link)
        timing = {name.decode(): float(value) for name, value in _TIMING.findall(said.partition(b"\r\n\r\n")[0])}
        return Answered(code, due, time.perf_counter() - due, asked.tokens, timing)

    async def _link(self) -> Link:
        while self._idle:
            if (link := self._idle.pop()).is_open:
                return link
        return (await asyncio.get_running_loop().create_connection(Link, "127.0.0.1", self.port))[1]


async def in_turn(port: int, work: Iterator[Asked], clients: int, seconds: float) -> list[Answered]:
    """Let ``clients`` ask one request of ``work`` after the other for ``seconds``; all that was asked is waited for."""
    client, found = Client(port), list[Answered]()
    end = time.perf_counter() + seconds

    async def one() -> None:
        while (now := time.perf_counter()) < end:
            found.append(await client.ask(next(work), now))

    await asyncio.gather(*(one() for _ in range(clients)))
    return found


async def arriving(
    port: int, work: Iterator[Asked], rate: float, seconds: float, chance: random.Random
) -> list[Answered]:
    """Send ``rate`` requests of ``work`` a second at times that are drawn beforehand; all of them are waited for."""
    client, start = Client(port), time.perf_counter() + 0.1
    due = sorted(start + chance.uniform(0, seconds) for _ in range(round(rate * seconds)))
    tasks = []
    for at in due:
        await asyncio.sleep(max(0.0, at - time.perf_counter()))
        tasks.append(asyncio.create_task(client.ask(next(work), at)))
    return list(await asyncio.gather(*tasks))


def run(work: Any) -> Any:
    """Return what the coroutine ``work`` returns, and the share of one processor that asking took."""
    wall, busy = time.perf_counter(), time.process_time()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(work)
    return found, (time.process_time() - busy) / (time.perf_counter() - wall)


def rates(found: Sequence[Answered], begin: float, end: float) -> dict[str, float]:
    """Return how many requests, and tokens, a second were answered well between two times."""
    well = [one for one in found if one.code == 200 and begin <= one.at <= end]
    return {
        "requests_per_second": len(well) / (end - begin),
        "tokens_per_second": sum(one.tokens for one in well) / (end - begin),
    }


def quantile(values: Sequence[float], share: float) -> float | None:
    """Return the value under which ``share`` of ``values`` lie, None of none."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else None
