"""Machinery of settings: groups that are frozen, check themselves and answer a mistake in one line.

Knows no setting of its own: each group stands beside the code that it sets, and a command puts the groups that it needs
into a class of its own. What bites: YAML 1.1 reads ``3e-3`` as text; numbers are therefore parsed from text as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from unmask.errors import SettingError, did_you_mean

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
ShareBelowOne = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
OpenShare = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]

Changes = Sequence[str] | Mapping[str, Any]
"""Settings that differ: ``group.key=value`` words, or ``{"group.key": value}`` or ``{"group": {"key": value}}``."""

S = TypeVar("S", bound="Settings")


class Settings(BaseModel):
    """A group of settings, or a recipe made of groups: frozen, and closed to names it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), use_attribute_docstrings=True)

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Check ``values`` and return the settings. Raises SettingError with one line for the first thing wrong."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise SettingError(_one_line(cls, error)) from None

    def plain(self) -> dict[str, Any]:
        """Return the settings as plain types that YAML and JSON write."""
        return self.model_dump(mode="json")


def read_settings(
    kind: type[S], recipe: Path | None = None, overrides: Changes = (), defaults: Mapping[str, Any] | None = None
) -> S:
    """Return the settings ``kind`` from a YAML ``recipe``, changed by ``overrides``.

    ``defaults`` are values that a command sets before the recipe is read. Raises SettingError.
    """
    values: dict[str, Any] = {}
    _merge(values, defaults or {})
    if recipe is not None:
        _merge(values, _read_yaml(recipe))
    for key, value in overrides.items() if isinstance(overrides, Mapping) else map(_key_and_value, overrides):
        _merge(values, _nested(str(key), value))
    return kind.parse(values)


def _read_yaml(path: Path) -> Mapping[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingError(f"{path}: there is no such recipe") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{path}: can not be read as a recipe ({error})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark is not None else str(path)
        raise SettingError(f"{where}: is not YAML ({getattr(error, 'problem', error)})") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise SettingError(f"{path}: a recipe is a mapping of groups, this is a {type(values).__name__}")
    return values


def _key_and_value(word: str) -> tuple[str, Any]:
    key, equals, text = word.partition("=")
    if not equals or not key.strip():
        raise SettingError(f"'{word}' is not a setting; write group.key=value")
    try:
        return key.strip(), yaml.safe_load(text)
    except yaml.YAMLError:
        return key.strip(), text


def _nested(key: str, value: Any) -> Mapping[str, Any]:
    """Return ``{"group": {"key": value}}`` for ``group.key``."""
    for name in reversed(key.split(".")):
        value = {name: value}
    return value  # type: ignore[no-any-return]  # the loop ran at least once, so this is a dict


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = dict(value) if isinstance(value, Mapping) else value


def _one_line(kind: type[Settings], error: ValidationError) -> str:
    """Return the first mistake of ``error`` as one line: key, value and way out."""
    first = error.errors(include_url=False)[0]
    where = [str(part) for part in first["loc"]]
    key, context, value = ".".join(where), first.get("ctx", {}), first["input"]
    match first["type"]:
        case "extra_forbidden":
            return f"unknown setting {key}{did_you_mean(where[-1], _names_beside(kind, where))}"
        case "missing":
            return f"{key} must be given"
        case "greater_than" | "less_than" | "greater_than_equal" | "less_than_equal" | "finite_number":
            return f"{key} must be {_range(kind, where)}, got {value!r}"
        case "literal_error":
            return f"{key} must be one of {context['expected']}, got {value!r}"
        case "value_error":
            return f"{key}: {context['error']}" if key else str(context["error"])
        case kind_of_error if kind_of_error.startswith("int"):
            return f"{key} must be a whole number, got {value!r}"
        case kind_of_error if kind_of_error.startswith("float"):
            return f"{key} must be a number, got {value!r}"
        case kind_of_error if kind_of_error.startswith("bool"):
            return f"{key} must be true or false, got {value!r}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"{key} is a group of settings, got {value!r}; write {key}.key=value"
        case _:
            return f"{key}: {first['msg'][0].lower()}{first['msg'][1:]}, got {value!r}"


def _group(kind: type[Settings], where: Sequence[str]) -> type[Settings]:
    """Return the class of the group that holds the last name of ``where``."""
    for name in where[:-1]:
        field = kind.model_fields.get(name)
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, Settings)):
            return kind
        kind = field.annotation
    return kind


def _names_beside(kind: type[Settings], where: Sequence[str]) -> list[str]:
    return list(_group(kind, where).model_fields)


def _range(kind: type[Settings], where: Sequence[str]) -> str:
    """Return the allowed range of a number in words, from the bounds that its field declares."""
    group = _group(kind, where)
    field = next((group.model_fields[name] for name in reversed(where) if name in group.model_fields), None)
    return range_in_words(field) if field else "a finite number"


def range_in_words(field: FieldInfo) -> str:
    """Return the bounds of a number, or of each number of a sequence, as in ``in (0, 1]`` or ``at least 1``."""
    rules = [*field.metadata, *_rules_within(field.annotation)]
    bounds = {
        name: bound
        for rule in rules
        for name in ("gt", "ge", "lt", "le")
        if (bound := getattr(rule, name, None)) is not None
    }
    low, high = bounds.get("gt", bounds.get("ge")), bounds.get("lt", bounds.get("le"))
    if low is not None and high is not None:
        return f"in {'(' if 'gt' in bounds else '['}{low:,}, {high:,}{')' if 'lt' in bounds else ']'}"
    if low is not None:
        return f"{'above' if 'gt' in bounds else 'at least'} {low:,}"
    return f"{'below' if 'lt' in bounds else 'at most'} {high:,}" if high is not None else "a finite number"


def _rules_within(annotation: Any) -> Iterator[Any]:
    """Yield the rules of ``Annotated`` parts inside a type, as in ``Count | None``."""
    for rule in getattr(annotation, "__metadata__", ()):
        yield from rule.metadata
    for part in get_args(annotation):
        yield from _rules_within(part)
