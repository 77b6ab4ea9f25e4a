"""A pipeline of transformers served by LitServe, in batches: serve_litserve.py MODEL TASK PORT, where litserve is."""

from __future__ import annotations

import sys
from typing import Any

import litserve
from serve_peers import pipeline_of  # type: ignore[import-not-found]  # beside this file

MOST_TOGETHER, WAITED_FOR = 8, 0.005
"""Texts of a batch, and the seconds that the first of them waits for others."""


class Api(litserve.LitAPI):
    """What LitServe asks for."""

    def __init__(self, model: str, task: str) -> None:
        super().__init__(max_batch_size=MOST_TOGETHER, batch_timeout=WAITED_FOR)
        self.model, self.task = model, task

    def setup(self, device: str) -> None:  # noqa: ARG002  # LitServe's signature
        """See LitAPI."""
        self.pipe = pipeline_of(self.model, self.task)

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # what stands there is taken for a query
        """See LitAPI."""
        return request["inputs"]

    def predict(self, inputs: Any) -> Any:
        """See LitAPI."""
        return [self.pipe(inputs[0])] if len(inputs) == 1 else self.pipe(list(inputs), batch_size=len(inputs))

    def encode_response(self, output: Any) -> Any:
        """See LitAPI."""
        return {"output": output}


if __name__ == "__main__" and len(sys.argv) == 4:
    server = litserve.LitServer(Api(*sys.argv[1:3]), accelerator="cpu", workers_per_device=1, timeout=False)
    server.run(host="127.0.0.1", port=int(sys.argv[3]), log_level="error", generate_client_file=False)
