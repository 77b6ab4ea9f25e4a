"""``unmask export``: a model directory that others read, held against the model before it is put in place.

What bites: nothing is at ``--out`` until every form has passed; a form that fails leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from unmask import files
from unmask.cli.export_sample import sample
from unmask.cli.model_card import card_of, check_license
from unmask.cli.starting import MODEL
from unmask.cli.terminal import JsonFlag, QuietFlag, Report, Terminal, progress_for
from unmask.errors import ModelError, SettingError
from unmask.exporting.hugging_face import read_network, write_hugging_face
from unmask.exporting.parity import difference, flips, require_harmless, require_same
from unmask.exporting.push import check_name
from unmask.exporting.push import push as send
from unmask.inference.loading import loaded
from unmask.inference.model_directory import NAME, ModelManifest, described
from unmask.inference.published import is_hub_name
from unmask.inference.resolve import resolve
from unmask.inference.resolved import GRAPHS, Resolved
from unmask.runs import refuse_occupied

Where = str | PathLike[str]

CARD: Final = "README.md"
"""The one file of a model directory that people change: it has no checksum."""

FORMS: Final = ("huggingface", *GRAPHS)


def export_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help=MODEL)],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    to: Annotated[list[str] | None, typer.Option(help=f"{', '.join(FORMS)}; may be given several times.")] = None,
    check: Annotated[Path | None, typer.Option(help="Texts, or labelled examples, on which int8 is measured.")] = None,
    push: Annotated[str | None, typer.Option(metavar="ORG/NAME", help="Put it on the hub too, as private.")] = None,
    public: Annotated[bool, typer.Option("--public", help="Let everybody see what is pushed.")] = False,
    license: Annotated[str | None, typer.Option(help="The licence that the card names, as in apache-2.0.")] = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Write a model in the forms that others read."""
    terminal = Terminal(json=json, quiet=quiet)
    manifest = export(
        model,
        out,
        to or "huggingface",
        check=check,
        push=push,
        private=not public,
        license=license,
        progress=not quiet,
    )
    terminal.emit({"out": str(out), **manifest.plain()})
    terminal.facts(_facts(manifest))
    terminal.next_step(f'unmask.load("{out}"), or transformers\' from_pretrained("{out}")')


def export(
    model: Where,
    out: Where,
    to: str | Sequence[str] = "huggingface",
    *,
    check: Where | None = None,
    push: str | None = None,
    private: bool = True,
    license: str | None = None,
    progress: bool | Report = True,
) -> ModelManifest:
    """Write ``model`` into the new folder ``out`` and return what stands in its ``unmask.json``.

    ``to`` is huggingface, onnx or onnx-int8, or several of them; the Hugging Face files are always there. ``check``
    names texts (for a task: labelled examples) on which int8 is measured; by default those that the run was developed
    on. ``push`` sends the folder to ORG/NAME on the hub, ``private`` unless said otherwise. ``license`` is what the
    card says of it; it says nothing where nothing is given. Raises CheckFailed where a
    form says something else than the model, and a UserError for what can not be exported; then nothing is left at
    ``out``.
    """
    forms, target = _forms(to), Path(out)
    check_license(license)
    if push is not None:
        check_name(push)
    with progress_for(progress) as told:
        found = resolve(Path(model))
        if not found.weights:
            raise ModelError(f"{model}: holds graphs and no weights; export the model that it was made of")
        refuse_occupied(target)
        decide = sample(found, None if check is None else Path(check)) if "onnx-int8" in forms else None
        with files.working_folder(target) as aside:
            told("files", 0, 1, "configuration, weights, tokenizer")
            write_hugging_face(found, aside)
            graphs = _write_graphs(found, aside, forms, told)
            manifest = model_manifest(found, aside, graphs)
            files.write_json(aside / NAME, manifest.plain())
            manifest = replace(manifest, parity=_parity(found, aside, decide, told))
            files.write_json(aside / NAME, manifest.plain())
            card = card_of(found, push or target.name, license=license, parity=manifest.parity)
            files.write_bytes(aside / CARD, card.encode())
            files.publish_folder(aside, target)
        if push is not None:
            send(target, push, private=private, progress=told)
    return manifest


def _forms(to: str | Sequence[str]) -> list[str]:
    forms = [to] if isinstance(to, str) else list(to)
    for form in forms:
        if form not in FORMS:
            raise SettingError(f"--to must be one of {', '.join(FORMS)}, got {form!r}")
    return forms


def _write_graphs(found: Resolved, folder: Path, forms: Sequence[str], told: Report) -> dict[str, Any]:
    """Write the graphs that ``forms`` ask for into ``folder`` and return what goes into each and comes out, by file."""
    wanted = [engine for engine in GRAPHS if engine in forms]
    if not wanted:
        return {}
    from unmask.exporting.graph import export_graph
    from unmask.exporting.quantize import quantize_graph
    from unmask.inference.onnx_engine import OnnxEngine

    told("files", 0, 1, "graph")
    plain = folder / GRAPHS["onnx"]
    plain.parent.mkdir()
    export_graph(read_network(found), plain)
    if "onnx-int8" in wanted:
        told("files", 0, 1, "int8")
        quantize_graph(plain, folder / GRAPHS["onnx-int8"])
    if "onnx" not in wanted:
        for path in plain.parent.glob(f"{plain.name}*"):
            path.unlink()
    files_of = [GRAPHS[engine] for engine in wanted]
    return {file: OnnxEngine(folder / file, found.config, found.task).interface() for file in files_of}


def model_manifest(found: Resolved, folder: Path, graphs: Mapping[str, Any]) -> ModelManifest:
    """Return what the files in ``folder`` are, their parity still open. Nothing in it tells of this machine."""
    origin = {name: value for name, value in found.origin.items() if name not in ("path", "corpus")}
    if is_hub_name(path := Path(found.origin["path"])) and not path.exists():
        origin["path"] = str(path)
    if found.origin.get("corpus"):
        origin["corpus"] = {"fingerprint": found.origin["corpus"]["fingerprint"]}
    written = sorted(path for path in folder.rglob("*") if path.is_file())
    return ModelManifest(
        task=found.task,
        tokenizer=described(found.tokenizer),
        files={str(path.relative_to(folder)): files.digest(path) for path in written},
        onnx=graphs,
        origin=origin,
    )


def _parity(found: Resolved, folder: Path, decide: Any, told: Report) -> dict[str, Any]:
    """Return how far each form in ``folder`` is from ``found``. Raises CheckFailed where one is too far."""
    model, written = loaded(found, "torch"), resolve(folder)
    measured: dict[str, Any] = {}
    for engine in ("torch", *written.graphs):
        told("parity", len(measured), 1 + len(written.graphs), engine)
        form = loaded(written, engine)
        if engine == "onnx-int8":
            measured[engine] = flips(decide(model), decide(form))
            require_harmless(measured[engine])
        else:
            measured[engine] = {"largest_difference": difference(found, model, form)}
            require_same(engine, measured[engine]["largest_difference"])
    told("parity", len(measured), len(measured), "every form says what the model says")
    return measured


def _facts(manifest: ModelManifest) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = [("task", "fill" if manifest.task is None else manifest.task.name)]
    for engine, measured in manifest.parity.items():
        if "largest_difference" in measured:
            rows.append((engine, f"differs by {measured['largest_difference']:.1e} of the largest score at most"))
            continue
        flipped, sure = measured["flipped"], measured["flipped_where_sure"]
        rows.append((engine, f"{measured['figure']} {measured['before']:.3f} to {measured['after']:.3f}"))
        words = f"{flipped['value']:.1%} of {flipped['n']:,} decisions change"
        rows.append(("", words + (f", {sure['value']:.1%} of those that were sure" if sure else "")))
    return rows
