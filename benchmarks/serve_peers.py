"""The servers that `serve.py` sets beside ours, each a process of its own: serve_peers.py NAME MODEL TASK PORT.

naive is what a tutorial shows: a pipeline of transformers behind a route of FastAPI, which runs each request in a
thread of its own. well-set is the same with one lock, as many threads as there are processors, and inference_mode.
empty does nothing: it says what the client can do.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any

PIPELINES = {"fill": "fill-mask", "classify": "text-classification"}

EMPTY = b'{"found": "' + b"x" * 600 + b'"}'


def pipeline_of(model: str, task: str) -> Any:
    """Return a pipeline of transformers over the Hugging Face files in ``model``."""
    from transformers import pipeline

    return pipeline(PIPELINES[task], model=model, device="cpu")  # type: ignore[call-overload]


def routed(answer: Callable[[Any], Any], port: int) -> None:
    """Serve ``answer`` by FastAPI, in its threads."""
    import uvicorn
    from fastapi import Body, FastAPI

    app = FastAPI()

    @app.post("/predict")
    def ask(inputs: str = Body(embed=True)) -> Any:
        return answer(inputs)

    uvicorn.run(app, port=port, log_level="error")


def naive(model: str, task: str, port: int) -> None:
    """Serve as a tutorial does."""
    routed(pipeline_of(model, task), port)


def well_set(model: str, task: str, port: int) -> None:
    """Serve as one does who has measured."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    pipe, lock = pipeline_of(model, task), threading.Lock()

    def answer(inputs: str) -> Any:
        with lock, torch.inference_mode():
            return pipe(inputs)

    routed(answer, port)


def empty(_: str, __: str, port: int) -> None:
    """Answer without a thought."""
    import uvicorn

    head = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(EMPTY))]}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            while (await receive()).get("more_body"):
                pass
            await send(head)
            await send({"type": "http.response.body", "body": EMPTY})

    uvicorn.run(app, port=port, log_level="error", lifespan="off")


PEERS: dict[str, Callable[[str, str, int], None]] = {
    "naive": naive,
    "well-set": well_set,
    "empty": empty,
}

if __name__ == "__main__" and len(sys.argv) == 5:
    PEERS[sys.argv[1]](sys.argv[2], sys.argv[3], int(sys.argv[4]))
