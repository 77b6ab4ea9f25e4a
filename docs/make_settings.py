"""Writes docs/settings.md from the settings classes: run .venv/bin/python docs/make_settings.py after a change of them.

What bites: the page is never edited by hand; a test compares it with what this makes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from unmask.cli.planning import PretrainSettings
from unmask.finetuning.settings import FinetuneSettings
from unmask.settings import Settings, range_in_words
from unmask.watch.alarms import AlarmSettings
from unmask.watch.policy import GatePolicy

PAGE = Path(__file__).with_name("settings.md")

HEAD = """\
# Settings

Every setting has a group and a name. On the command line it is written `group.key=value`:

```
unmask pretrain --corpus corpora/mine --out runs/first model.preset=small masking.mlm_probability=0.2
```

In a recipe (`unmask pretrain recipe.yaml ...`) it stands below its group, and from Python both forms do:

```yaml
model:
  preset: small
masking:
  mlm_probability: 0.2
```

```python
unmask.pretrain("corpora/mine", "runs/first", settings={"model": {"preset": "small"}, "masking.mlm_probability": 0.2})
```

Defaults come first, then the recipe, then what the command says. A name that does not exist is refused, with the
nearest one that does. A run keeps what was resolved in its `settings.yaml`.

The groups `corpus` and `tokenizer` belong to `unmask corpus build`. `unmask pretrain` takes them too, where `--corpus`
names text and not a corpus directory. The defaults below are those of `unmask pretrain`.

This page is made by `docs/make_settings.py` from the classes themselves.
"""

FINETUNING = """\
# Settings of fine-tuning

`unmask finetune` has groups of its own under the same names, with other defaults.
"""

GATE = """\
# The policy of a gate

`unmask gate --policy gate.yaml` reads these groups; [the gate](gate.md) says what each criterion is.
"""

ALARMS = """\
# Settings of alarms

`unmask watch baseline` takes them and keeps them in the baseline; [the page on alarms](watch.md) says what they mean.
"""


def page() -> str:
    """Return the text of docs/settings.md."""
    recipe, tasks, policy = PretrainSettings(), FinetuneSettings(), GatePolicy()
    groups = (_group(name, getattr(recipe, name)) for name in PretrainSettings.model_fields)
    of_tasks = (_group(name, getattr(tasks, name), " of fine-tuning") for name in FinetuneSettings.model_fields)
    of_gate = (_group(name, getattr(policy, name), " of a gate") for name in GatePolicy.model_fields)
    return "\n".join([HEAD, *groups, FINETUNING, *of_tasks, GATE, *of_gate, ALARMS, _group("alarms", AlarmSettings())])


def _group(name: str, group: Settings, of: str = "") -> str:
    """Return a heading, what the group is for and a table of its settings."""
    what = (type(group).__doc__ or "").partition("\n")[0].replace("``", "`")
    head = ["| setting | default | values | what it does |", "| --- | --- | --- | --- |"]
    lines = [f"## {name}{of}", "", what, "", *head]
    return "\n".join([*lines, *_rows(name, group), ""])


def _rows(prefix: str, group: Settings) -> Iterator[str]:
    for name, field in type(group).model_fields.items():
        value = getattr(group, name)
        if isinstance(value, Settings):
            yield from _rows(f"{prefix}.{name}", value)
        else:
            default = "the preset's" if value is None and prefix == "model" else _default(value)
            yield f"| `{prefix}.{name}` | {default} | {_values(field)} | {field.description} |"


def _default(value: Any) -> str:
    """Return a default as one would write it."""
    match value:
        case None:
            return "none"
        case bool():
            return f"`{str(value).lower()}`"
        case tuple():
            return f"`[{', '.join(map(str, value))}]`"
        case _:
            return f"`{value}`"


def _values(field: FieldInfo) -> str:
    """Return in words what may stand there."""
    kinds = set(_kinds(field.annotation))
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(field.annotation))
    if bool in kinds:
        return "`true`, `false`"
    if not {int, float} & kinds:
        return "a path" if Path in kinds else "text"
    numbers = "numbers" if tuple in kinds else "a whole number" if int in kinds else "a number"
    return f"{numbers} {range_in_words(field)}"


def _kinds(annotation: Any) -> Iterator[Any]:
    """Yield the plain types that a type is made of."""
    yield get_origin(annotation) or annotation
    for part in get_args(annotation):
        yield from _kinds(part)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
