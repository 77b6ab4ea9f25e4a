"""``unmask serve``: models over HTTP."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from unmask.cli.terminal import Terminal
from unmask.errors import DataError
from unmask.serve.settings import ServeSettings
from unmask.watch.settings import WatchSettings

DEFAULT, WATCH = ServeSettings(), WatchSettings()


def serve(
    models: Annotated[list[str], typer.Argument(metavar="[NAME=]MODEL ...", help="Models, by name.")],
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = 8080,
    engine: Annotated[
        Literal["auto", "torch", "onnx", "onnx-int8"],
        typer.Option(help="What runs the networks; auto is onnx where it is."),
    ] = "auto",
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 is one for each of --threads.")] = DEFAULT.workers,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each process.")] = DEFAULT.threads,
    batch_tokens: Annotated[int, typer.Option(min=1, help="Tokens of a batch.")] = DEFAULT.batch_tokens,
    queue_tokens: Annotated[int, typer.Option(min=1, help="Tokens that may wait.")] = DEFAULT.queue_tokens,
    deadline_ms: Annotated[int, typer.Option(min=1, help="By when a request is answered.")] = 10_000,
    too_long: Annotated[
        Literal["error", "truncate", "stride"], typer.Option(help="What becomes of a text that is too long.")
    ] = DEFAULT.too_long,
    body_bytes: Annotated[int, typer.Option(min=1, help="Largest body.")] = DEFAULT.body_bytes,
    items: Annotated[int, typer.Option(min=1, help="Most texts in a request.")] = DEFAULT.items,
    drain_seconds: Annotated[
        float, typer.Option(min=0, help="How long requests are still taken after a SIGTERM.")
    ] = DEFAULT.drain_seconds,
    shadow: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=MODEL", help="A model that is asked the same as NAME, after the answer is out."),
    ] = None,
    canary: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=MODEL:SHARE%", help="A model that answers a share of the requests to NAME."),
    ] = None,
    api_keys: Annotated[
        Path | None, typer.Option(help="A file with a key a line; without it everybody may ask.")
    ] = None,
    watch: Annotated[Path | None, typer.Option(metavar="DIR", help="Keep signals of the traffic in DIR.")] = None,
    watch_sample: Annotated[
        str, typer.Option(metavar="SHARE%", help="Texts that networks are asked about once more, in idle time.")
    ] = "1%",
    watch_base: Annotated[
        str | None, typer.Option(metavar="MODEL", help="The language model that the models came from, for the sample.")
    ] = None,
    watch_texts: Annotated[bool, typer.Option(help="Keep the texts too.")] = WATCH.texts,
    watch_days: Annotated[float, typer.Option(min=0.01, help="How long signals are kept.")] = WATCH.days,
    watch_megabytes: Annotated[float, typer.Option(min=1, help="How much room signals may take.")] = WATCH.megabytes,
) -> None:
    """Answer over HTTP with one model or several."""
    from unmask.cli.watching import base_model, listener, share_of
    from unmask.report.manual_page import render_manual
    from unmask.report.serve_page import render_serve
    from unmask.report.traffic_page import render_traffic
    from unmask.serve.app import create_app
    from unmask.serve.models import served_models
    from unmask.serve.run import run
    from unmask.serve.service import Service
    from unmask.serve.shadow import companions

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    settings = ServeSettings(
        workers=workers,
        threads=threads,
        batch_tokens=batch_tokens,
        queue_tokens=queue_tokens,
        deadline_seconds=deadline_ms / 1000,
        too_long=too_long,
        body_bytes=body_bytes,
        items=items,
        drain_seconds=drain_seconds,
    )
    served = served_models(models, engine)
    beside = companions(shadow or [], canary or [], served, engine)
    frozen = base_model(watch_base if watch else None)
    service = Service(served, settings, [*(one.model for one in beside), *frozen])
    kept = WatchSettings(
        sample=share_of("--watch-sample", watch_sample), texts=watch_texts, days=watch_days, megabytes=watch_megabytes
    )
    asked = [*served.values(), *(one.model for one in beside)]
    live = listener(watch, kept, service, asked, frozen) if watch else None
    keys = _keys(api_keys)
    signals = f", signals in {watch}" if watch else ""
    Terminal().say(f"{service.num_workers} workers of {settings.threads} threads, http://{host}:{port}{signals}")
    pages: dict[str, Any] = {"home": render_serve, "manual": render_manual, "watched": render_traffic}
    run(create_app(service, api_keys=keys, companions=beside, listener=live, **pages), service, host, port)


def _keys(file: Path | None) -> list[str]:
    if file is None:
        return []
    try:
        keys = file.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(file, f"can not be read ({error})") from None
    if not keys:
        raise DataError(file, "holds no key; write one a line")
    return keys
