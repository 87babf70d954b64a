"""Where things go: the output's name, the work folder's, the sidecar's, and what must not be written over."""

import json
import os
import re
from pathlib import Path
from typing import Any

from vremove_cli.errors import MediaError, UsageError
from vremove_cli.job.exports import Exports
from vremove_cli.job.request import Request
from vremove_cli.media import sequence
from vremove_cli.media.clip import SEQUENCE
from vremove_cli.media.encoder_choice import CONTAINERS, container_of
from vremove_cli.removers import registry


def default_output(source: str) -> str:
    """`clip.clean.mp4` for `clip.mp4`; for images a folder `NAME.clean` beside theirs."""
    path = Path(source)
    if not sequence.is_sequence(source):
        return str(path.with_name(f"{path.stem}.clean{path.suffix}"))
    if path.is_dir():
        return str(path.with_name(f"{path.resolve().name}.clean"))
    if sequence.has_number(source):
        folder = path.parent.resolve()
        return str(folder.with_name(f"{folder.name}.clean") / path.name)
    return str(path.with_name(f"{path.stem}.clean{path.suffix}"))


def work_folder(output: str) -> Path:
    """Where `erase` keeps its files unless told otherwise: `clip.clean.mp4.vremove` beside `clip.clean.mp4`."""
    path = Path(output).absolute()
    return path.with_name(f"{_plain_name(path)}.vremove")


def _plain_name(path: Path) -> str:
    """A file's name; of a pattern, what stands before the number."""
    if not sequence.has_number(str(path)):
        return path.name
    return re.split(r"[%#]", path.name)[0].rstrip("._- ") or "frames"


def sidecar_of(path: Path) -> Path:
    """The sidecar's name for an output; a folder keeps its whole name."""
    stem = path.stem if path.suffix.lower() in CONTAINERS else _plain_name(path)
    return path.with_name(f"{stem}.vremove.json")


def make_request(source: str, output: str | None, options: dict[str, Any]) -> Request:
    """A request with absolute paths, so that it can be carried out from anywhere.

    Raises `MediaError` when there is no such input and `UsageError` when the output has no place.
    """
    source = os.path.abspath(source) if source else source
    if not source or not (Path(source).exists() or sequence.has_number(source)):
        raise MediaError(f"{source or 'an input without a name'} does not exist", "check the path")
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    target = output or default_output(source)
    source, options = _void_folder(source, options)
    mask, effects = options.pop("mask", None), options.pop("effects", "auto")
    affected = options.pop("affected", None)
    if target.endswith("/") or (Path(target).is_dir() and not sequence.is_sequence(source)):
        target = str(Path(target) / Path(default_output(source)).name)
    folder = Path(target).absolute().parent
    if not folder.is_dir() and container_of(target, images=sequence.is_sequence(source)) != SEQUENCE:
        raise UsageError(f"the folder {folder} does not exist", "make it, or choose another output with -o")
    return Request(
        input=source,
        output=str(Path(target).absolute()),
        mask=str(Path(mask).absolute()) if mask else None,
        affected=str(Path(affected).absolute()) if affected else None,
        references=tuple(_absolute(r) for r in options.pop("references", ())),
        loras=tuple(_absolute(x) for x in options.pop("loras", ())),
        effects=effects if effects in ("auto", "off") else str(Path(effects).absolute()),
        **options,
    )


def _void_folder(source: str, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A folder as VOID's own scripts want it (input_video.mp4, quadmask_0.mp4, prompt.json), taken apart; any other
    input as it is. What the caller says himself counts; a remover that does not know what will move is told of the
    object alone."""
    folder = Path(source)
    video = folder / "input_video.mp4"
    masks = sorted(folder.glob("quadmask_*.mp4")) if folder.is_dir() else []
    if not masks or not video.exists():
        return source, options
    found: dict[str, Any] = {}
    takes = registry.spec_of(registry.resolve(options.get("remover", "auto"))[0])
    if not any(options.get(k) for k in ("mask", "points", "boxes", "text")):
        found = {"mask": str(masks[0]), "quadmask": True}
        if takes.physics:
            found["affected"] = str(masks[0])
    words = folder / "prompt.json"
    if words.exists() and "prompt" in takes.accepts and not options.get("prompt"):
        try:
            found["prompt"] = str(json.loads(words.read_text(encoding="utf-8"))["bg"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{words} has no text under 'bg' ({error})", "mend it, or give --prompt") from error
    return str(video), {**options, **found}


def _absolute(reference: str) -> str:
    """FILE, FILE@WHEN or FILE@STRENGTH with an absolute path."""
    return str(Path(reference).absolute())


def check_targets(request: Request, exports: Exports, *, overwrite: bool) -> None:
    """Refuse early what would be refused at the end."""
    exports.check(request, overwrite=overwrite)
    target = Path(request.output)
    if target.resolve() in {Path(p).resolve() for p in request.given}:
        raise UsageError(f"{target} is a mask or a clean picture", "choose another output with -o")
    report = sidecar_of(target)
    if report.exists() and not overwrite and not _is_report(report):
        raise UsageError(f"{report} exists already", "add --overwrite to replace it, or choose another output with -o")
    if container_of(request.output, images=sequence.is_sequence(request.input)) == SEQUENCE:
        return
    if target.resolve() == Path(request.input).resolve():
        raise UsageError(f"{target} is the input itself", "choose another output with -o")
    if target.exists() and not overwrite:
        raise UsageError(f"{target} exists already", "add --overwrite to replace it, or choose another output with -o")
    if target.is_dir():
        raise UsageError(f"{target} is a folder", "name a file with -o")


def _is_report(path: Path) -> bool:
    """Whether a file is a sidecar of ours, which a new one may replace."""
    try:
        return "plan" in json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False
