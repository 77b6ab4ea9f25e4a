"""The application: its routes over a service."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from fastapi import FastAPI
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from unmask import __version__
from unmask.serve import schemas
from unmask.serve.door import Door, Handler, Ticket, parsed, refusal, request_id
from unmask.serve.listening import UNHEARD, Listener, answers_in, texts_in
from unmask.serve.models import ServedModel
from unmask.serve.pages import page_response
from unmask.serve.refusals import Refused
from unmask.serve.service import Service
from unmask.serve.shadow import Asked, Beside, Companion, read_by
from unmask.serve.spare import asking
from unmask.serve.tasks import PIPELINES, TASKS, vectors_of

MANY = 32
"""So many texts are cut into tokens beside the event loop."""

_NOT_NOW: Final[dict[int | str, dict[str, Any]]] = {503: {"description": "Not now"}}

Info = Mapping[str, Any]
"""What ``/info`` gives."""
Home = Callable[[Info], str]
"""Makes the page at ``/``."""
Manual = Callable[[Mapping[str, Any], Info, str], str]
"""Makes the page at ``/docs`` of what OpenAPI says, what ``/info`` gives and the address that was asked."""
Watched = Callable[[Mapping[str, Any]], str]
"""Makes the page at ``/watch`` of what ``/watch.json`` gives."""


def create_app(
    service: Service,
    *,
    api_keys: Sequence[str] = (),
    companions: Sequence[Companion] = (),
    listener: Listener | None = None,
    home: Home = lambda _: "",
    manual: Manual = lambda *_: "",
    watched: Watched = lambda _: "",
) -> FastAPI:
    """Return the application over ``service``; ``home``, ``manual`` and ``watched`` make the pages for people.

    The models of ``companions`` are among those that the service loads. ``listener`` hears of every answer, and is
    looked at under ``/watch``.
    """
    beside = Beside(service, companions)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        comparing = asyncio.create_task(beside.run())
        if listener is not None:
            listener.start(asking(service))
        yield
        comparing.cancel()
        if listener is not None:
            await asyncio.to_thread(listener.stop)
        await service.stop()

    app = FastAPI(title="unmask", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    door = Door(service, api_keys)
    asked = _Answering(service, beside, listener)
    for name, task in TASKS.items():
        door.post(app, f"/{name}", task.body, _task(asked, name), task.help)
    hosted = _hosted(asked)
    door.post(app, "/models/{model}", None, hosted, "What the model was made for, in the shapes of Hugging Face")
    door.post(app, "/models/{model}/pipeline/{pipeline}", None, hosted, "The same, by Hugging Face's name of a task")
    door.post(app, "/", None, hosted, "The same, where there is one model")
    door.post(app, "/v1/embeddings", schemas.OpenAIEmbeddings, _openai(asked), "Embeddings as OpenAI gives them")
    _looks(app, service, beside)
    _pages(app, service, beside, home, manual)
    if listener is not None:
        _watch(app, listener, watched)

    @app.exception_handler(HTTPException)
    async def _unknown(request: Request, error: HTTPException) -> Response:
        what = f"there is no {request.method} {request.url.path[:200]}"
        return refusal(Refused("method" if error.status_code == 405 else "not_found", what), request_id(request))

    return app


def _task(asked: _Answering, name: str) -> Handler:
    async def handler(body: Any, ticket: Ticket) -> Any:
        return await asked.answer(asked.service.model(body.model), name, body, ticket)

    return handler


def _hosted(asked: _Answering) -> Handler:
    async def handler(given: Any, ticket: Ticket) -> Any:
        body, pipeline = given["body"], given.get("pipeline")
        said = body.get("model") if isinstance(body, dict) else None
        name = given.get("model", said)
        if name is not None and not isinstance(name, str):
            raise Refused("invalid", "model must be a name", param="model")
        model = asked.service.model(name)
        if pipeline is not None and pipeline not in PIPELINES:
            raise Refused("not_found", f"there is no pipeline {pipeline[:80]!r}; there is {', '.join(PIPELINES)}")
        task = model.task if pipeline is None else PIPELINES[pipeline]
        return await asked.answer(model, task, parsed(TASKS[task].body, body), ticket)

    return handler


@dataclass(frozen=True, slots=True)
class _Answering:
    """What every question to a model goes through, and who else hears of it."""

    service: Service
    beside: Beside
    listener: Listener | None

    async def answer(self, model: ServedModel, name: str, body: Any, ticket: Ticket) -> Any:
        """Return what ``model``, or its canary, answers to the task ``name`` of ``body``. Raises Refused."""
        ticket.model = model.name
        model.require(name)
        most, given = self.service.settings.items, body.inputs
        if isinstance(given, schemas.Comparison):
            given = given.sentences
        if isinstance(given, list) and len(given) > most:
            raise Refused("too_large", f"{len(given):,} texts in a request, {most:,} are allowed; send less at a time")
        ticket.is_large = isinstance(given, list) and len(given) > MANY
        by = model
        if (canary := self.beside.canary(model, name, ticket.request_id)) is not None:
            by = canary.model
            ticket.model = ticket.canary = by.name
        read = read_by(model, by, body)
        answer = await TASKS[name].run(by, read, ticket, self.service.settings.too_long)
        asked = Asked(name, body, answer, ticket.seconds["inference"])
        ticket.afterwards = BackgroundTask(self.beside.compare, model, canary, asked)
        if self.listener is not None and name not in UNHEARD:
            texts = texts_in(name, read)
            self.tell(ticket, name, texts, answers_in(name, read, answer, len(texts)))
        return answer

    def tell(self, ticket: Ticket, task: str, texts: Sequence[str], answers: Sequence[Any]) -> None:
        """Tell the listener, where there is one, of an answer."""
        if self.listener is not None:
            self.listener.heard(
                request_id=ticket.request_id,
                model=ticket.model,
                task=task,
                time=time.time(),
                seconds=time.perf_counter() - ticket.started,
                texts=texts,
                answers=answers,
            )


def _openai(asked: _Answering) -> Handler:
    service = asked.service

    async def handler(body: Any, ticket: Ticket) -> Any:
        model = service.model(body.model)
        ticket.model = model.name
        model.require("embed")
        texts = [body.input] if isinstance(body.input, str) else body.input
        if len(texts) > service.settings.items:
            raise Refused("too_large", f"{len(texts):,} texts in a request, {service.settings.items:,} are allowed")
        width = model.found.config.hidden_size
        if body.dimensions not in (None, width):
            raise Refused("invalid", f"dimensions must be {width}, what the model has, or left out", param="dimensions")
        vectors = await vectors_of(model, texts, ticket, service.settings.too_long)
        asked.tell(ticket, "embed", texts, [None] * len(texts))
        tokens = sum(len(one["ids"]) for one in model.tokenized(texts))
        data = [
            {"object": "embedding", "index": place, "embedding": _encoded(vector, body.encoding_format)}
            for place, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "data": data, "model": model.name, "usage": usage}

    return handler


def _encoded(vector: Any, how: str) -> Any:
    return base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode() if how == "base64" else vector.tolist()


def _looks(app: FastAPI, service: Service, beside: Beside) -> None:
    """Add the routes that only look."""

    @app.get("/livez", summary="Whether the process answers at all")
    async def livez() -> Any:
        return {"status": "alive"}

    @app.get("/readyz", summary="Whether a request would be answered now; 503 where not", responses=_NOT_NOW)
    @app.get("/health", include_in_schema=False)
    async def readyz() -> Response:
        states = {True: "ready", False: "draining" if service.is_draining else "not ready"}
        status = states[service.is_ready]
        return JSONResponse({"status": status, "workers": service.num_loaded}, 200 if service.is_ready else 503)

    @app.get("/metrics", summary="What is counted, for Prometheus", response_class=PlainTextResponse)
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/info", summary="The models and the limits of this server")
    async def info() -> Any:
        return _info(service, beside)

    @app.get("/v1/models", summary="The models, as OpenAI lists them")
    async def models() -> Any:
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "unmask"} for name in service.models]
        return {"object": "list", "data": data}


def _pages(app: FastAPI, service: Service, beside: Beside, home: Home, manual: Manual) -> None:
    """Add the pages for people."""
    at_home = page_response(home(_info(service, beside)))

    @app.get("/", include_in_schema=False)
    async def _home() -> Response:
        return at_home

    @app.get("/docs", include_in_schema=False)
    async def _manual(request: Request) -> Response:
        return page_response(manual(app.openapi(), _info(service, beside), str(request.base_url).rstrip("/")))


def _watch(app: FastAPI, listener: Listener, watched: Watched) -> None:
    """Add the routes that show what the listener has heard."""

    @app.get("/watch.json", summary="What the traffic looks like, without its texts")
    async def look() -> Any:
        return await asyncio.to_thread(listener.look)

    @app.get("/watch", include_in_schema=False)
    async def _watched() -> Response:
        return page_response(watched(await asyncio.to_thread(listener.look)))


def _info(service: Service, beside: Beside) -> dict[str, Any]:
    models = [_about(model) for model in service.models.values()]
    companions = [one.plain() for one in beside.companions]
    return {"version": __version__, "models": models, "beside": companions, "limits": service.settings.plain()}


def _about(model: ServedModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "task": model.task,
        "tasks": list(model.tasks),
        "engine": model.engine,
        "reads_tokens": model.longest,
        "labels": [] if model.found.task is None else list(model.found.task.labels),
        "mask_token": model.predictor.mask_token if model.task == "fill" else None,
    }
