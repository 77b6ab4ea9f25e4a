"""The manual that a server gives of itself, made from what its routes say of themselves in OpenAPI.

What bites: an example that does not work is worse than none, so each is an example of the body's own schema, asked of a
model that is served and was made for it; where there is no such model there is no example.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from unmask.report.html import ABSENT, Block, Code, Json, Page, Prose, Section, Table, at, objects, plain, render_page

SCHEMA = ("requestBody", "content", "application/json", "schema")
FIELDS = ("Field", "Takes", "By default", "What it is")


def render_manual(openapi: Json, info: Json, address: str) -> str:
    """Return the page on the routes of ``openapi``, with examples for the models of ``info`` at ``address``."""
    paths: Mapping[str, Json] = openapi["paths"]
    posts = {path: methods["post"] for path, methods in paths.items() if "post" in methods}
    sections = [
        Section("how", "How to ask", tuple(_how(address))),
        *(Section(_anchor(path), f"POST {path}", tuple(_route(path, posts, info, address))) for path in posts),
        Section("looks", "To look at", (_looks(paths, address),)),
        Section("refusals", "Refusals", tuple(_refusals(posts))),
    ]
    page = Page(
        title="How to ask this server",
        kicker=f"unmask serve {info['version']}",
        lead="Every route, what it takes, and what it says when it can not answer.",
        opening=(),
        sections=sections,
        footer="The same for programs: /openapi.json. The page to try the models on: /.",
    )
    return render_page(page)


def _how(address: str) -> Iterator[Block]:
    yield Prose(
        "A question is a POST with a JSON body. A key that is not known is refused, so that a misspelt one does not "
        "silently do nothing. A text gives one answer, a list of texts gives a list."
    )
    yield Prose(
        "Where the server has keys, add -H 'authorization: Bearer KEY'. An x-request-id that is sent comes back and is "
        "in the log; x-truncated-tokens says how many tokens of a text were left out; server-timing says where the "
        "time went."
    )
    yield Code(f"curl {address}/info")


def _route(path: str, posts: Mapping[str, Json], info: Json, address: str) -> Iterator[Block]:
    post = posts[path]
    schema: Json = at(post, *SCHEMA) or {}
    summary = str(post.get("summary", ""))
    described = schema.get("description")
    yield Prose(f"{summary}." if described is None else f"{summary}. The body: {described[0].lower()}{described[1:]}")
    asked = _example(path, posts, info)
    if asked is not None:
        where, body = asked
        said = shlex.quote(json.dumps(body, ensure_ascii=False))
        yield Code(f"curl {shlex.quote(address + where)} -H 'content-type: application/json' \\\n  -d {said}")
    elif "examples" in schema:
        yield Prose("No model of this server was made for it.", note=True)
    rows = list(_fields(schema))
    if rows:
        yield Table("What it takes", FIELDS, rows, words=4)


def _example(path: str, posts: Mapping[str, Json], info: Json) -> tuple[str, Json] | None:
    """Return a path and a body that a model of ``info`` answers, or None."""
    models = objects(info.get("models"))
    if path == "/models/{model}" and models:
        name, task = str(models[0]["name"]), str(models[0]["task"])
        found = _example(f"/{task}", posts, info)
        return (
            None if found is None else (f"/models/{name}", {key: found[1][key] for key in found[1] if key != "model"})
        )
    task = "embed" if path == "/v1/embeddings" else path[1:]
    model = next((one for one in models if task in one["tasks"]), None)
    examples = at(posts.get(path), *SCHEMA, "examples")
    if model is None or not examples:
        return None
    text = json.dumps(examples[0])
    if model["mask_token"] is not None:
        text = text.replace("[MASK]", str(model["mask_token"]))
    return path, {**json.loads(text), "model": model["name"]}


def _fields(schema: Json, prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Yield the rows on what ``schema`` takes, parts of objects under dotted names."""
    for name, field in (schema.get("properties") or {}).items():
        is_asked = name in (schema.get("required") or ())
        default = "has to be there" if is_asked else _default(field)
        yield f"{prefix}{name}", _kind(field), default, str(field.get("description", ""))
        for inner in (field, *objects(field.get("anyOf"))):
            yield from _fields(inner, f"{prefix}{name}.")


def _default(field: Json) -> str:
    default = field.get("default")
    return ABSENT if default is None or default == {} else plain(default)


def _kind(schema: Json) -> str:
    """Return what ``schema`` takes, in words."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(kind for one in objects(schema["anyOf"]) if (kind := _kind(one))))
    if "enum" in schema:
        return ", ".join(map(plain, schema["enum"]))
    kinds: dict[Any, str] = {
        "string": "text",
        "integer": "whole number",
        "number": "number",
        "boolean": "true or false",
        "object": "object",
        "null": "",
    }
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items') or {})}"
    if "minimum" in schema and "maximum" in schema:
        return f"{kinds[schema['type']]} from {schema['minimum']} to {schema['maximum']}"
    return kinds.get(schema.get("type"), "anything")


def _looks(paths: Mapping[str, Json], address: str) -> Table:
    rows = [(f"{address}{path}", str(one["get"]["summary"])) for path, one in paths.items() if "get" in one]
    return Table("Routes that only look; they ask for no key", ("GET", "What it says"), rows, words=2)


def _refusals(posts: Mapping[str, Json]) -> Iterator[Block]:
    """Yield what every refusal is, in numbers and in the envelope."""
    said = {code: str(of["description"]) for post in posts.values() for code, of in post["responses"].items()}
    rows = [(code, said[code]) for code in sorted(said) if code >= "400"]
    yield Prose("Whatever goes wrong, the answer has one shape; message is one line for the one who asked.")
    error = {
        "type": "invalid",
        "message": "what is wrong, and what to do",
        "param": "inputs",
        "code": 422,
        "request_id": "as in the header",
    }
    yield Code(json.dumps({"error": error}, indent=2))
    yield Table("What each number says", ("Code", "What it says"), rows, words=2)


def _anchor(path: str) -> str:
    """Return a name for the part on ``path``."""
    return "post-" + ("-".join(part.strip("{}") for part in path.split("/") if part) or "root")
