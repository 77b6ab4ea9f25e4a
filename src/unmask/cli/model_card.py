"""The model card of what is exported: the runs behind a model are looked up, the page is made of what they hold.

What bites: the run that a model started from may be gone, or another one may lie in its place; then it is not told of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from unmask.errors import RunError, SettingError
from unmask.inference.published import is_hub_name
from unmask.inference.resolved import Resolved
from unmask.report.card_facts import CardFacts
from unmask.report.model_card import model_card
from unmask.report.run_page import RunData
from unmask.runs import RunDirectory

_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")


def check_license(license: str | None) -> None:
    """Raise SettingError where ``license`` can not be what the hub calls one."""
    if license is not None and not _LICENSE.fullmatch(license):
        raise SettingError(
            f"--license must be as the hub writes it: apache-2.0, mit, cc-by-4.0, other; got {license!r}"
        )


def card_of(
    found: Resolved,
    name: str,
    *,
    license: str | None = None,
    parity: Mapping[str, Any] | None = None,
) -> str:
    """Return README.md for ``found``, which readers load as ``name``: ORG/NAME, or the name of a folder.

    ``license`` is the hub's name of one, left out where it is None. ``parity`` is that of unmask.json.
    """
    return model_card(facts_of(found, name, license=license, parity=parity))


def facts_of(
    found: Resolved,
    name: str,
    *,
    license: str | None = None,
    parity: Mapping[str, Any] | None = None,
) -> CardFacts:
    """Return all that a card of ``found`` is made of."""
    runs: list[RunData] = []
    beginning: Mapping[str, Any] | None = found.origin
    while beginning is not None and (run := _run_of(beginning, runs[-1].run if runs else None)) is not None:
        runs.append(run_data(run))
        beginning = run.state["parent"]
    is_published = beginning is not None and beginning["kind"] != "run"
    base = str(beginning["path"]) if beginning is not None and is_published else None
    is_on_hub = base is not None and is_hub_name(Path(base))  # folders are in full
    return CardFacts(
        name=name,
        model_type=str(found.origin.get("model_type", found.config.family)),
        shape=asdict(found.config),
        mask_token=str(found.tokenizer.id_to_token(found.vocabulary.mask_id)),
        task=None if found.task is None else found.task.plain(),
        runs=runs,
        base=base if is_on_hub or base is None else Path(base).name,
        is_on_hub=is_on_hub,
        is_whole=beginning is None or is_published,
        license=license,
        parity=parity or {},
    )


def run_data(run: RunDirectory) -> RunData:
    """Return what the files of ``run`` hold, as the pages read it."""
    return RunData(
        run=run.state,
        settings=run.settings,
        environment=run.read("environment.json") or {},
        metrics=run.metrics(),
        evaluation=run.read("evaluation.json"),
        corpus=run.read("corpus.json"),
    )


def _run_of(origin: Mapping[str, Any], child: Mapping[str, Any] | None) -> RunDirectory | None:
    """Return the run that ``origin`` names, None where it names none, or one that ``child`` was not started from."""
    if origin["kind"] != "run":
        return None
    try:
        run = RunDirectory(origin["path"])
        state = run.state
    except RunError:
        return None
    is_the_one = child is None or (
        state["corpus"]["fingerprint"] == origin["corpus"]["fingerprint"] and state["created"] < child["created"]
    )
    return run if is_the_one else None
