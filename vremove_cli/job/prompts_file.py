"""Read and write prompts.json: what was clicked, in the order in which it was.

    {"type": "prompts", "schema": 1, "prompts": [
      {"kind": "point", "object": "ball", "frame": 0, "at": [320, 240]},
      {"kind": "not_point", "object": "ball", "frame": 0, "at": [400, 240]},
      {"kind": "box", "object": "", "frame": 87, "at": [100, 80, 240, 300]},
      {"kind": "key_mask", "object": "", "frame": 120, "file": "prompts.masks/120.png"}]}

Coordinates are pixels of the displayed frame. A file's path is relative to the folder of prompts.json.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from math import isfinite
from pathlib import Path
from typing import Any, Literal, get_args

from vremove_cli import atomic
from vremove_cli.errors import UsageError
from vremove_cli.prompts import Prompt, parse_key_mask, parse_prompt

SCHEMA = 1
Kind = Literal["point", "not_point", "box", "key_mask"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_LENGTHS = {"point": 2, "not_point": 2, "box": 4}


@dataclass(frozen=True)
class Click:
    """One prompt as the file has it.

    Attributes:
        kind: The option that it stands for.
        object: Name of the object; empty for the unnamed one.
        frame: Index of the frame.
        at: Coordinates in pixels of the displayed frame; none of a key mask.
        file: Absolute path of a key mask; empty for the others.
    """

    kind: Kind
    object: str
    frame: int
    at: tuple[float, ...] = ()
    file: str = ""

    @property
    def text(self) -> str:
        """The prompt as the command line takes it.

        Raises:
            UsageError: It is none.
        """
        return str(self.prompt)

    @property
    def prompt(self) -> Prompt:
        """The prompt; raises `UsageError` for one that the command line would refuse."""
        name = f"{self.object}=" if self.object else ""
        if self.kind == "key_mask":
            return parse_key_mask(f"{name}@{self.frame}:{self.file}")
        numbers = ",".join(str(Prompt((Fraction(str(n)),))) for n in self.at)
        form: Literal["point", "box"] = "box" if self.kind == "box" else "point"
        return parse_prompt(f"{name}@{self.frame}:{numbers}", form, positive=self.kind != "not_point")


def options_of(clicks: Iterable[Click]) -> dict[str, tuple[str, ...]]:
    """Return the clicks as values of the options --point, --not-point, --box and --key-mask."""
    found: dict[str, tuple[str, ...]] = {}
    for click in clicks:
        found[click.kind] = (*found.get(click.kind, ()), click.text)
    return found


def read_prompts(path: str) -> list[Click]:
    """Read a file.

    Raises:
        UsageError: It cannot be read, or holds something else.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as prompts", "save prompts with `vremove pick CLIP`") from error
    if not isinstance(data, dict) or data.get("type") != "prompts" or not isinstance(data.get("prompts"), list):
        raise UsageError(f"{path} holds no prompts", "save prompts with `vremove pick CLIP`")
    if data.get("schema") != SCHEMA:
        raise UsageError(f"{path} has form {data.get('schema')} of prompts, and this is form {SCHEMA}", "save it anew")
    return [_click(path, i, entry) for i, entry in enumerate(data["prompts"])]


def _click(path: str, number: int, entry: Any) -> Click:
    """Return one entry; raises `UsageError` naming it."""
    found = parse_entry(entry)
    if found is None:
        raise UsageError(f"{path}: prompt {number} is none", "see docs/pick.md for the form of prompts.json")
    click = replace(found, file=str(Path(path).absolute().parent / found.file)) if found.file else found
    try:
        click.text  # noqa: B018  raises for what is wrong
    except UsageError as error:
        raise UsageError(f"{path}: prompt {number}: {error.problem}", error.advice) from error
    return click


def parse_entry(entry: Any) -> Click | None:
    """Return the click that an entry of the file is, its path as it stands there; None for another form."""
    if not isinstance(entry, dict) or entry.get("kind") not in KINDS:
        return None
    name, frame, at, file = (entry.get(k, d) for k, d in (("object", ""), ("frame", 0), ("at", []), ("file", "")))
    numbers = isinstance(at, list) and all(type(n) in (int, float) and isfinite(n) for n in at)
    if not isinstance(name, str) or type(frame) is not int or frame < 0 or not isinstance(file, str) or not numbers:
        return None
    if len(at) != _LENGTHS.get(entry["kind"], 0) or bool(file) != (entry["kind"] == "key_mask"):
        return None
    return Click(entry["kind"], name, frame, tuple(at), file)


def write_prompts(path: Path, clicks: Iterable[Click]) -> None:
    """Write a file, whole or not at all."""
    folder = path.absolute().parent
    entries = []
    for click in clicks:
        entry: dict[str, Any] = {"kind": click.kind, "object": click.object, "frame": click.frame}
        if click.file:
            file = Path(click.file)
            entry["file"] = file.relative_to(folder).as_posix() if file.is_relative_to(folder) else str(file)
        else:
            entry["at"] = list(click.at)
        entries.append(entry)
    lines = ",\n".join(f"  {json.dumps(entry, ensure_ascii=False)}" for entry in entries)
    text = f'{{"type": "prompts", "schema": {SCHEMA}, "prompts": [\n{lines}\n]}}\n'
    with atomic.replace_file(path.absolute()) as hidden:
        hidden.write_text(text, encoding="utf-8")


def click_of(prompt: Prompt, frame: int) -> Click:
    """Return a prompt of the command line, in pixels, as a click on a frame."""
    kind: Kind = "point" if prompt.positive else "not_point"
    if prompt.mask or prompt.is_box:
        kind = "key_mask" if prompt.mask else "box"
    return Click(kind, prompt.name, frame, prompt.xy, prompt.mask)
