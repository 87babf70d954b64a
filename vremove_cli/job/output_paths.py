"""Where files go: the output's name, the work folder's, the report's, and what must not be written over."""

import json
import os
import re
from pathlib import Path
from typing import Any

from vremove_cli.atomic import refuse_dash, refuse_existing
from vremove_cli.errors import UsageError
from vremove_cli.job.exports import check_exports
from vremove_cli.job.request import Exports, Request, request_from
from vremove_cli.media import sequence
from vremove_cli.media.clip import SEQUENCE
from vremove_cli.media.container import open_input
from vremove_cli.media.encoder_choice import CONTAINERS, container_of
from vremove_cli.removers import registry


def default_output(source: str) -> str:
    """Return `clip.clean.mp4` for `clip.mp4`; for images a folder `NAME.clean` beside theirs.

    Raises:
        MediaError: The file cannot be opened as a video.
        UsageError: No file with the clip's ending can be written.
    """
    path = Path(source) if Path(source).name else Path(source).resolve()  # `.` has no name
    if not sequence.is_sequence(source):
        if path.suffix.lower() not in CONTAINERS:
            open_input(source).close()
            ending = f"'{path.suffix}' files cannot be written" if path.suffix else "the clip's name has no ending"
            raise UsageError(ending, f"name the result with -o, for example -o {path.stem}.clean.mkv")
        return str(path.with_name(f"{path.stem}.clean{path.suffix}"))
    if path.is_dir():
        return str(path.with_name(f"{path.resolve().name}.clean"))
    if sequence.has_number(source):
        folder = path.parent.resolve()
        return str(folder.with_name(f"{folder.name}.clean") / path.name)
    return str(path.with_name(f"{path.stem}.clean{path.suffix}"))


def default_work_folder(output: str) -> Path:
    """Return `clip.clean.mp4.vremove` beside `clip.clean.mp4`."""
    path = Path(output).absolute()
    return path.with_name(f"{plain_name(path)}.vremove")


def report_path(output: Path) -> Path:
    """Return the path of the report beside an output; a folder keeps its whole name."""
    stem = output.stem if output.suffix.lower() in CONTAINERS else plain_name(output)
    return output.with_name(f"{stem}.vremove.json")


def score_path(output: Path) -> Path:
    """Return the path of the score beside an output: `clip.clean.score.json` for `clip.clean.mp4`."""
    report = report_path(output)
    return report.with_name(f"{report.name.removesuffix('.vremove.json')}.score.json")


def planned_folder(source: str) -> Path:
    """Return `clip.vremove` beside `clip.mp4`, and `take.01.vremove` beside the folder `take.01`."""
    path = Path(source)
    return path.with_name(f"{path.stem if path.is_file() else plain_name(path)}.vremove")


def plain_name(path: Path) -> str:
    """Return a file's name; of a pattern, what stands before the number."""
    if not sequence.has_number(str(path)):
        return path.name
    return re.split(r"[%#]", path.name)[0].rstrip("._- ") or "frames"


def make_request(source: str, output: str | None, options: dict[str, Any]) -> Request:
    """Return a checked request with absolute paths, so that it can be carried out from anywhere.

    Args:
        source: The clip.
        output: The result; None for the default beside the clip.
        options: Values by option name.

    Raises:
        MediaError: There is no such input.
        UsageError: An option is wrong, or the output has no place.
    """
    if not source or not (Path(source).exists() or sequence.has_number(source)):
        raise sequence.missing(source or "an input without a name")
    source = os.path.abspath(source)
    target = output or default_output(source)
    source, options = _from_void_folder(source, options)
    target = resolved_output(target, source)
    folder = Path(target).parent
    if not folder.is_dir() and container_of(target, images=sequence.is_sequence(source)) != SEQUENCE:
        raise UsageError(f"the folder {folder} does not exist", "make it, or choose another output with -o")
    request = request_from(source, target, options)
    _check_quadmask(request)
    return request


def resolved_output(output: str, source: str) -> str:
    """Return the absolute path of what an output names.

    A folder takes the clip under its default name; so does a new one, written with a slash, of a single picture. Of a
    video such a new one is itself the output: a folder of pictures. So is any folder where the source is one, too.

    Raises:
        UsageError: It is `-`, or may be a video as well as a folder of pictures.
    """
    refuse_dash(output)
    if output.endswith(("/", os.sep)) and sequence.is_picture(source):
        return str(Path(output).absolute() / Path(default_output(source)).name)
    path, is_folder, pictures = Path(output).absolute(), output.endswith(("/", os.sep)), sequence.is_sequence(source)
    if path.is_dir() and (is_folder or not pictures):
        inside = path / Path(default_output(source)).name
        if not pictures and (path / sequence.picture_name(0)).exists():
            raise UsageError(
                f"{output} holds pictures of an earlier job",
                f"write {inside} for a video, or {path / '%06d.png'} for pictures",
            )
        return str(inside)
    if not (path.suffix or is_folder or pictures):
        raise UsageError(
            f"{output} has no ending, and there is no such folder",
            f"write {output}.mp4 for a video, or {output}/ for a folder of pictures",
        )
    return str(path)


def _check_quadmask(request: Request) -> None:
    """Raise `UsageError` for the user's quadmask if the remover does not know what will move."""
    if request.quadmask is None or is_void_folder(Path(request.input).parent) or request.remover == "auto":
        return  # what auto takes is known to the planner alone
    if not registry.spec_of(registry.check_name(request.remover)).physics:
        raise UsageError(f"{request.remover} does not know what will move", "add --remover void, or leave that out")


def is_void_folder(folder: Path) -> bool:
    """Return whether a folder is laid out as VOID's own scripts want it."""
    return folder.is_dir() and (folder / "input_video.mp4").exists() and any(folder.glob("quadmask_*.mp4"))


def _from_void_folder(source: str, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return clip and options of a folder of VOID's scripts (input_video.mp4, quadmask_0.mp4, prompt.json).

    The user's own options count; any other input comes back unchanged.
    """
    folder = Path(source)
    if not is_void_folder(folder):
        return source, options
    found: dict[str, Any] = {}
    remover = str(options.get("remover") or "auto")
    accepts = () if remover == "auto" else registry.spec_of(registry.check_name(remover)).accepts
    if not any(options.get(k) for k in ("mask", "quadmask", "point", "box", "text")):
        found = {"quadmask": str(min(folder.glob("quadmask_*.mp4")))}
    words = folder / "prompt.json"
    if words.exists() and "prompt" in accepts and not options.get("prompt"):
        try:
            found["prompt"] = str(json.loads(words.read_text(encoding="utf-8"))["bg"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{words} has no text under 'bg' ({error})", "correct it, or give --prompt") from error
    return str(folder / "input_video.mp4"), {**options, **found}


def check_targets(request: Request, exports: Exports, *, overwrite: bool) -> None:
    """Raise `UsageError` for whatever the end of the job would refuse to write."""
    check_exports(exports, request, overwrite=overwrite)
    target = Path(request.output)
    if target.resolve() in {Path(p).resolve() for p in request.given_files}:
        raise UsageError(f"{target} is a mask or a clean picture", "choose another output with -o")
    report = report_path(target)
    if report.resolve() in {Path(p).resolve() for p in (request.input, *request.given_files)}:
        raise UsageError(f"the report would replace {report}", "choose another output with -o")
    if not _is_report(report):
        refuse_existing(report, overwrite=overwrite)
    if container_of(request.output, images=sequence.is_sequence(request.input)) == SEQUENCE:
        return
    if target.resolve() == Path(request.input).resolve():
        raise UsageError(f"{target} is the input itself", "choose another output with -o")
    refuse_existing(target, overwrite=overwrite)
    if target.is_dir():
        raise UsageError(f"{target} is a folder", "name a file with -o")


def _is_report(path: Path) -> bool:
    """Return whether a file is a report of ours, which a new one may replace."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        plan = report["plan"]
        return {"request", "tasks"} <= set(plan) and bool(
            {"versions", "version"} & set(plan)
        )  # a former one has the latter
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return False
