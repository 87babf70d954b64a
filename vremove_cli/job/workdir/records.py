"""Dataclasses as JSON and back. A value that is read is validated against the dataclass's own annotations."""

import json
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


_ADAPTERS: dict[Any, Any] = {}


def _adapter(kind: Any) -> Any:
    """Return pydantic's adapter of a dataclass; making one takes milliseconds, so it is kept."""
    from pydantic import TypeAdapter

    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def to_json(value: object) -> Any:
    """Return a dataclass as JSON values (dicts, lists, text, numbers, booleans, None)."""
    return _adapter(type(value)).dump_python(value, mode="json")


def from_json(kind: type[T], data: object) -> T:
    """Return a dataclass from JSON values.

    Args:
        kind: The dataclass.
        data: What `to_json` gave.

    Raises:
        ValueError: A field is missing or of another type; the message names it.
    """
    from pydantic import ValidationError

    try:
        made: T = _adapter(kind).validate_python(data)
        return made
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place or 'it'}: {first['msg'].lower()}") from error


def read_json(path: Path) -> Any:
    """Return the JSON values of a file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no JSON.
    """
    return json.loads(path.read_text(encoding="utf-8"))
