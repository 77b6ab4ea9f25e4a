"""What the routes say of themselves in OpenAPI: the bodies that are taken, and every refusal."""

from __future__ import annotations

import re
from typing import Any, Final

from pydantic import BaseModel

_ERROR: Final = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["type", "message", "param", "code", "request_id"],
            "properties": {
                "type": {"type": "string"},
                "message": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "integer"},
                "request_id": {"type": "string"},
                "retry_after": {"type": "number"},
            },
        }
    },
}
RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    status: {"description": what, "content": {"application/json": {"schema": _ERROR}}}
    for status, what in {
        400: "No JSON",
        401: "No key of this server",
        404: "No such model",
        408: "The body did not arrive",
        413: "Too much at once",
        415: "No JSON by its type",
        422: "Can not be answered",
        429: "Too much waits; see Retry-After",
        500: "The network failed",
        503: "Not ready",
        504: "Not answered in time",
    }.items()
}


def described(path: str, body: type[BaseModel] | None) -> dict[str, Any]:
    """Return what OpenAPI says of a route at ``path``, with names in braces, that takes ``body``."""
    schema = {"type": "object"} if body is None else _inlined(body.model_json_schema())
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in re.findall(r"{(\w+)}", path)
        ],
    }


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """Return ``schema`` with its definitions in the places that refer to them."""
    definitions = schema.pop("$defs", {})

    def put(part: Any) -> Any:
        if isinstance(part, dict) and "$ref" in part:
            return put(definitions[part["$ref"].rpartition("/")[2]])
        if isinstance(part, dict):
            return {key: put(value) for key, value in part.items()}
        return [put(value) for value in part] if isinstance(part, list) else part

    return put(schema)  # type: ignore[no-any-return]  # an object stays one
