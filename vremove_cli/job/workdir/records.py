"""Dataclasses as JSON files and back.

A file carries a digest of itself: one that was damaged or changed by hand is refused as a whole. A value that is read
is validated against its dataclass's own annotations.
"""

import json
from functools import partial
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import Any, TypeVar

from vremove_cli import atomic

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


def write_record(path: Path, data: dict[str, Any]) -> None:
    """Write a JSON object with a digest of itself, so that a reader finds all of it or none."""
    atomic.write_text(path, json.dumps({"digest": _digest(data), **data}, indent=1))


def read_record(path: Path) -> dict[str, Any]:
    """Return what `write_record` wrote.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, or something else wrote it.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    if not isinstance(data, dict) or data.pop("digest", None) != _digest(data):
        raise ValueError("it is not as it was written")
    return data


def _digest(data: dict[str, Any]) -> str:
    return blake2b(json.dumps(data, sort_keys=True).encode(), digest_size=16).hexdigest()


def digest_of(path: Path) -> str:
    """Return the digest of a file's bytes."""
    with path.open("rb") as file:
        return file_digest(file, partial(blake2b, digest_size=16)).hexdigest()
