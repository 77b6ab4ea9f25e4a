"""What the server's own description promises, asked of it: bodies that fit the description, and bodies that do not."""

from __future__ import annotations

from collections import Counter
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.serving import Running

MODELS = {"/v1/embeddings": "embed", "/similarity": "embed", "/score": "fill", "/tokenize": "fill"}
"""The model of `tests.serving` that is asked, where the route does not bear its name."""

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


def keep(server: Running, examples: int) -> Counter[int]:
    """Ask each operation of ``server`` so many times, rightly and wrongly, and return how often each code came.

    Raises what schemathesis finds: an error of ours, a code or a body that is not described.
    """
    codes: Counter[int] = Counter()
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            if mode == GenerationMode.NEGATIVE and operation.method == "get":
                continue  # there is nothing to get wrong

            @given(operation.as_strategy(generation_mode=mode))
            @settings(max_examples=examples, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
            def holds(case: Any) -> None:
                response = _for_a_model(case).call()
                case.validate_response(response, checks=CHECKS)
                codes[response.status_code] += 1

            holds()
    return codes


def _for_a_model(case: Any) -> Any:
    """Return ``case``, asked of a model that is there, and with a mask where one is needed."""
    name = MODELS.get(case.path, case.path.strip("/"))
    if case.path_parameters:
        case.path_parameters["model"] = name = "fill"
    if isinstance(case.body, dict):
        case.body["model"] = name
        if case.path == "/fill":
            case.body["inputs"] = _masked(case.body.get("inputs"))
    return case


def _masked(inputs: Any) -> Any:
    if isinstance(inputs, list):
        return [_masked(one) for one in inputs]
    return f"{inputs} [MASK]" if isinstance(inputs, str) else inputs
