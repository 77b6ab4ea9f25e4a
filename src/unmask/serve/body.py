"""Reading a body: bounded in bytes and time, and JSON by the letter of its standard.

What bites: the usual parser takes NaN for a number, overflows 1e400 to infinity, lets half a surrogate pair through and
dies of deep nesting; each of these would become an error of ours further on.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from typing import Any, Final, NoReturn

from starlette.requests import ClientDisconnect, Request

from unmask.serve.refusals import Refused

DEEPEST: Final = 64
"""Levels of nesting that a body may have."""

HEARD_OUT: Final = 32 * 1024 * 1024
"""Bytes over the limit that are read and thrown away before a body is refused."""

_MARKS: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


async def read_json(request: Request, most_bytes: int, seconds: float) -> Any:
    """Return the JSON value in the body of ``request``.

    Raises Refused: 408 where it does not arrive within ``seconds``, 413 over ``most_bytes``, 415 for another type, 400
    for what is no JSON.
    """
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise Refused("media_type", f"the body must be application/json, got {kind[:80]!r}")
    try:
        async with asyncio.timeout(seconds):
            return parse(await _read(request, most_bytes))
    except TimeoutError:
        raise Refused("slow", f"the body did not arrive within {seconds:g} seconds") from None
    except ClientDisconnect:
        raise Refused("gone", "the client hung up before its request was whole") from None


async def _read(request: Request, most_bytes: int) -> bytes:
    """Return the body. One that is too large is read on for a while: who still sends would not hear the refusal."""
    body, size = bytearray(), 0
    async for part in request.stream():
        size += len(part)
        if size <= most_bytes:
            body += part
        elif size > most_bytes + HEARD_OUT:
            break
    if size > most_bytes:
        raise Refused("too_large", f"the body is larger than {most_bytes:,} bytes; send less at a time")
    return bytes(body)


def parse(body: bytes) -> Any:
    """Return the value of the JSON ``body``. Raises Refused (400) for anything that RFC 8259 does not allow."""
    if _depth(body) > DEEPEST:
        raise Refused("syntax", f"the body is nested deeper than {DEEPEST} levels")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused("syntax", f"the body is not UTF-8 (byte {error.start})") from None
    try:
        return json.loads(text, parse_constant=_no_number, parse_float=_finite, parse_int=_whole)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Refused("syntax", f"the body is not JSON: {error.msg} at {where}") from None


def _depth(body: bytes) -> int:
    deepest = level = 0
    for mark in _MARKS.finditer(body):
        first = body[mark.start()]
        if first in b"[{":
            level += 1
            deepest = max(deepest, level)
        elif first in b"]}":
            level -= 1
    return deepest


def _no_number(name: str) -> NoReturn:
    raise Refused("syntax", f"{name} is no JSON number")


def _finite(digits: str) -> float:
    if not math.isfinite(value := float(digits)):
        raise Refused("syntax", f"the number {digits[:20]} is out of range")
    return value


def _whole(digits: str) -> int:
    if len(digits) > 20:
        raise Refused("syntax", f"the number {digits[:20]}... is out of range")
    return int(digits)
