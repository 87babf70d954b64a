"""vremove: erase an object from a video and get the same video back, with nothing else touched.

    from vremove_cli import erase

    summary = erase("clip.mp4", point=(320, 240))
    print(summary.output, summary.recovered)

The functions have the names, options and defaults of the command line. Wrong values are refused before any work.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "Clip",
    "Estimate",
    "Event",
    "ExitCode",
    "Expected",
    "MediaError",
    "ModelError",
    "Note",
    "NothingError",
    "Output",
    "Plan",
    "Progress",
    "Score",
    "Summary",
    "Tally",
    "TaskDone",
    "UsageError",
    "VremoveError",
    "erase",
    "estimate",
    "finish",
    "mask",
    "open_clip",
    "plan",
    "score",
    "work",
]

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from os import PathLike
    from pathlib import Path
    from typing import Unpack

    from vremove_cli.errors import ExitCode, MediaError, ModelError, NothingError, UsageError, VremoveError
    from vremove_cli.job.estimate import Estimate
    from vremove_cli.job.events import Event, Expected, Note, Progress, TaskDone
    from vremove_cli.job.plan import Plan
    from vremove_cli.job.render import Output, Summary
    from vremove_cli.job.request import Exports
    from vremove_cli.job.working import Tally
    from vremove_cli.media.read import Clip
    from vremove_cli.option_types import EraseOptions, ExportOptions, MaskOptions, RequestOptions
    from vremove_cli.quality.score import Score

    File = str | PathLike[str]

# Public classes by the module that defines them; they are imported when they are first used, as the functions' modules
# are: `import vremove_cli` itself takes milliseconds.
_CLASSES = {
    "vremove_cli.errors": ("ExitCode", "MediaError", "ModelError", "NothingError", "UsageError", "VremoveError"),
    "vremove_cli.job.estimate": ("Estimate",),
    "vremove_cli.job.events": ("Event", "Expected", "Note", "Progress", "TaskDone"),
    "vremove_cli.job.plan": ("Plan",),
    "vremove_cli.job.render": ("Output", "Summary"),
    "vremove_cli.job.working": ("Tally",),
    "vremove_cli.media.read": ("Clip",),
    "vremove_cli.quality.score": ("Score",),
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for module, names in _CLASSES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'vremove_cli' has no attribute '{name}'")


def erase(
    input: "File",
    output: "File | None" = None,
    *,
    work: "File | None" = None,
    keep_work: bool = False,
    overwrite: bool = False,
    on_event: "Callable[[Event], None] | None" = None,
    **options: "Unpack[EraseOptions]",
) -> "Summary":
    """Erase an object from a clip and write the same clip without it.

    A killed call leaves its work folder; the same call continues from there.

    Args:
        input: Video, image sequence or folder of images.
        output: Result; default `clip.clean.mp4` beside `clip.mp4`.
        work: Folder of work files; default beside the result.
        keep_work: Whether the work files stay.
        overwrite: Whether an existing output is replaced.
        on_event: Gets `Note`, `Progress` and `TaskDone` while the job runs.
        **options: Every option of `vremove erase` by its name, such as `point`, `box`, `mask`, `remover`, `crf`,
            `write_preview`. A point is "x,y" or (x, y), or (x, y, frame); a mask is a path, an array (T, H, W), or an
            iterable of arrays (H, W), bool or uint8.

    Returns:
        What was done.

    Raises:
        VremoveError: The job cannot be done; its text says what is wrong and what to do.
    """
    from vremove_cli.job.array_masks import stored_masks
    from vremove_cli.job.events import silent
    from vremove_cli.job.runner import run_erase

    request, exports = _request_and_exports(options)
    with stored_masks(request) as stored:
        return run_erase(
            _text(input),
            _text(output),
            work=_text(work),
            keep_work=keep_work,
            overwrite=overwrite,
            exports=exports,
            on_event=on_event or silent,
            **stored,
        )


def mask(
    input: "File",
    output: "File",
    *,
    work: "File | None" = None,
    keep_work: bool = True,
    overwrite: bool = False,
    per_object: bool = False,
    grid: bool = False,
    on_event: "Callable[[Event], None] | None" = None,
    **options: "Unpack[MaskOptions]",
) -> "Summary":
    """Write the masks that `erase` would use.

    Args:
        input: Video, image sequence or folder of images.
        output: `.mkv` (lossless) or a folder of PNG files.
        work: Folder of work files; default beside the masks.
        keep_work: Whether the work files stay, so that a call with one prompt more does only what that changes.
        overwrite: Whether an existing output is replaced.
        per_object: Whether each object gets a mask of its own.
        grid: Whether the preview has coordinates.
        on_event: Gets `Note`, `Progress` and `TaskDone` while the job runs.
        **options: Every option of `vremove mask` by its name.

    Returns:
        What was done.

    Raises:
        VremoveError: The job cannot be done; its text says what is wrong and what to do.
    """
    from vremove_cli.job.array_masks import stored_masks
    from vremove_cli.job.events import silent
    from vremove_cli.job.mask_runner import run_mask

    request, exports = _request_and_exports(options, tracking=True)
    with stored_masks(request) as stored:
        return run_mask(
            _text(input),
            _text(output),
            work=_text(work),
            keep_work=keep_work,
            overwrite=overwrite,
            per_object=per_object,
            grid=grid,
            exports=exports,
            on_event=on_event or silent,
            **stored,
        )


def plan(
    input: "File",
    output: "File | None" = None,
    *,
    work: "File | None" = None,
    on_event: "Callable[[Event], None] | None" = None,
    **options: "Unpack[RequestOptions]",
) -> "tuple[Plan, Path]":
    """Decide everything about a job and write it to a work folder.

    Args:
        input: Video, image sequence or folder of images.
        output: Result; default `clip.clean.mp4` beside `clip.mp4`.
        work: Work folder; default `clip.vremove` beside `clip.mp4`.
        on_event: Gets `Note` and `Progress` while the clip is scanned.
        **options: Every option of `vremove plan` by its name; masks must be files.

    Returns:
        The plan and its folder.

    Raises:
        VremoveError: The job cannot be done; its text says what is wrong and what to do.
    """
    from vremove_cli.job.array_masks import refuse_arrays
    from vremove_cli.job.events import silent
    from vremove_cli.job.runner import run_plan

    request = refuse_arrays(dict(options))
    return run_plan(_text(input), _text(output), work=_text(work), on_event=on_event or silent, **request)


def work(
    folder: "File",
    *,
    task: str | None = None,
    only: str | None = None,
    wait: bool = True,
    time_limit: str | None = None,
    allow_other_version: bool = False,
    threads: int | None = None,
    on_event: "Callable[[Event], None] | None" = None,
) -> "Tally":
    """Do the tasks of a planned job that are left.

    Args:
        folder: Work folder that `plan` made; other processes and machines may work on it at the same time.
        task: Id of the only task to do.
        only: Kinds of tasks to do, such as `track,plate`; or `cpu` or `gpu`.
        wait: Whether to wait for tasks that other processes do.
        time_limit: Such as `30m`: no task begins afterwards.
        allow_other_version: Whether to work with other versions of libraries than planned.
        threads: Threads to use; default as planned, or all cores.
        on_event: Gets `Note`, `Progress` and `TaskDone` while the job runs.

    Returns:
        Which tasks were done.

    Raises:
        VremoveError: The input has changed, or a task cannot be done.
    """
    from vremove_cli.job.events import silent
    from vremove_cli.job.runner import run_work
    from vremove_cli.job.work_lists import assignment_of

    return run_work(
        _text(folder),
        wanted=assignment_of(only, task=task, wait=wait, time_limit=time_limit),
        allow_other_version=allow_other_version,
        threads=threads,
        on_event=on_event or silent,
    )


def finish(
    folder: "File",
    output: "File | None" = None,
    *,
    overwrite: bool = False,
    threads: int | None = None,
    on_event: "Callable[[Event], None] | None" = None,
    **exports: "Unpack[ExportOptions]",
) -> "Summary":
    """Write the result of a planned job whose tasks are done.

    Args:
        folder: Work folder that `plan` made.
        output: Result; default as planned.
        overwrite: Whether an existing output is replaced.
        threads: Threads to use; default as planned, or all cores.
        on_event: Gets `Note` and `Progress` while the result is written.
        **exports: What to write beside the result, such as `write_mask`.

    Returns:
        What was done.

    Raises:
        VremoveError: Tasks are left, or the result cannot be written.
    """
    from vremove_cli.job.events import silent
    from vremove_cli.job.request import Exports
    from vremove_cli.job.runner import run_finish
    from vremove_cli.options import values_from

    beside = Exports(**values_from(Exports, dict(exports)))
    return run_finish(
        _text(folder),
        _text(output),
        overwrite=overwrite,
        exports=beside,
        threads=threads,
        on_event=on_event or silent,
    )


def estimate(input: "File", output: "File | None" = None, **options: "Unpack[RequestOptions]") -> "Estimate":
    """Return what `erase` would take: memory, disk, time, downloads. Nothing is done and nothing is fetched.

    Args:
        input: Video, image sequence or folder of images.
        output: Result; default `clip.clean.mp4` beside `clip.mp4`.
        **options: Every option of `vremove erase` by its name.

    Raises:
        VremoveError: The job cannot be done; its text says what is wrong and what to do.
    """
    from vremove_cli.job.array_masks import stored_masks
    from vremove_cli.job.estimate import estimate as estimate_plan
    from vremove_cli.job.events import silent
    from vremove_cli.job.output_paths import make_request
    from vremove_cli.job.planner import make_plan

    with stored_masks(dict(options)) as stored:
        return estimate_plan(make_plan(make_request(_text(input), _text(output), stored), silent, fetch=False))


def score(
    result: "File",
    *,
    source: "File | None" = None,
    mask: "Any" = None,
    truth: "File | None" = None,
    weights: "Sequence[str]" = (),
    accept_license: "Sequence[str]" = (),
    device: str = "auto",
    on_event: "Callable[[Event], None] | None" = None,
) -> "Score":
    """Say how good a result is: what is left of the object, seams, flicker, grain.

    Args:
        result: Erased video, image sequence or picture.
        source: The clip that it was made of; default what the report beside the result names.
        mask: Mask of what was erased: a path, an array (T, H, W), or an iterable of arrays (H, W), bool or uint8;
            default the one that the report names.
        truth: The clip without the object, where there is one.
        weights: "rorem-score=FOLDER" for the learnt score of success; its base is fetched if it is not here.
        accept_license: Names of models and licences whose terms are accepted.
        device: auto, cuda, xpu, mps or cpu, where the learnt score is computed.
        on_event: Gets `Expected` and `Progress`.

    Returns:
        The measures, and one number made of them.

    Raises:
        VremoveError: The source or the mask is not known, or the clips do not fit each other.
    """
    from vremove_cli.job.array_masks import stored_masks
    from vremove_cli.job.attempts import find_judge
    from vremove_cli.job.events import silent
    from vremove_cli.job.request import request_from
    from vremove_cli.job.scoring import find_material, score_result

    options = {"weights": list(weights), "accept_license": list(accept_license), "device": device}
    judge = find_judge(request_from("", "", options), on_event or silent)
    with stored_masks({"mask": mask}) as stored:
        material = find_material(_text(result), _text(source), _text(stored["mask"]), _text(truth))
        return score_result(material, on_event or silent, judge)


def open_clip(path: "File") -> "Clip":
    """Scan a clip: its frames, times and tags.

    Args:
        path: Video, image sequence or folder of images.

    Raises:
        MediaError: It cannot be read.
    """
    from vremove_cli.media.read import open_clip as read

    return read(_text(path))


def _request_and_exports(options: Any, *, tracking: bool = False) -> "tuple[dict[str, Any], Exports]":
    """Return the options of the request, and the exports; with `tracking`, only the options of `mask` are known."""
    from vremove_cli.job.request import Exports, Request
    from vremove_cli.options import options_of, refuse_unknown, values_from

    known = {o.name: k for k in (Request, Exports) for o in options_of(k).values() if o.tracking or not tracking}
    refuse_unknown(options, known)
    beside = {name: value for name, value in options.items() if known[name] is Exports}
    return {k: v for k, v in options.items() if k not in beside}, Exports(**values_from(Exports, beside))


def _text(path: Any) -> Any:
    """Return a path as text; None stays None."""
    from os import fspath

    return None if path is None else fspath(path)
