"""What commands share: a console from the flags, prompts checked before anything heavy is imported, errors to exits."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from vremove_cli.console import Console
from vremove_cli.errors import UsageError


def console(*, json: bool = False, progress: str = "auto", quiet: bool = False, debug: bool = False) -> Console:
    """A console; an unknown progress mode is refused."""
    made = Console(as_json=json, progress=progress, quiet=quiet, debug=debug)
    if progress not in ("auto", "json", "none"):
        raise typer.Exit(made.fail(UsageError(f"--progress {progress} is unknown", "choose auto, json or none")))
    return made


@contextmanager
def exits(talk: Console) -> Iterator[None]:
    """Turn any failure inside into its sentence and exit status."""
    try:
        yield
    except typer.Exit:
        raise
    except BaseException as error:
        raise typer.Exit(int(talk.fail(error))) from None


def grow_pixels(text: str) -> int | None:
    """`auto` is None; raises `UsageError` for anything that is no whole number."""
    if text == "auto":
        return None
    try:
        value = int(text)
    except ValueError:
        raise UsageError(f"--grow {text} is no number", "give pixels, or auto") from None
    if not -200 <= value <= 500:
        raise UsageError(f"--grow {text} is out of range", "give -200 to 500 pixels, or auto")
    return value


def _one_of(option: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise UsageError(f"--{option} {value} is unknown", f"choose one of {', '.join(choices)}")
    return value


def filling(
    remover: str, recover: str, prompt: str, second_pass: str, quality: str, steps: int | None, size: str | None,
    guidance: float | None, loras: list[str] | None, conditioning: str,
) -> dict[str, Any]:  # fmt: skip
    """Request fields that say what fills the hole."""
    return {
        "quality": _one_of("quality", quality, ("draft", "standard", "best")), "steps": steps, "size": size,
        "guidance": guidance,
        "loras": tuple(loras or ()), "conditioning": _one_of("conditioning", conditioning, ("released", "paper")),
        "remover": remover, "recover": _one_of("recover", recover, ("on", "off")) == "on", "prompt": prompt,
        "second_pass": _one_of("second-pass", second_pass, ("off", "on", "reference")),
    }  # fmt: skip


def moving(
    mask: str | None, affected: str | None, points: list[str] | None, boxes: list[str] | None, by: str | None,
    quadmask: str | None,
) -> dict[str, Any]:  # fmt: skip
    """Request fields that say what will move once the object is gone. A quadmask is mask and that in one."""
    if quadmask and (mask or affected or points or boxes or by):
        raise UsageError("a quadmask and another mask were given", "use one or the other")
    both = {"mask": quadmask, "affected": quadmask, "quadmask": True} if quadmask else {"affected": affected}
    return {**both, "affected_points": tuple(points or ()), "affected_boxes": tuple(boxes or ()), "affected_by": by}


def prompts(
    points: list[str] | None, not_points: list[str] | None, boxes: list[str] | None, mask: str | None, invert: bool,
    start: str | None, end: str | None, static: bool,
) -> dict[str, Any]:  # fmt: skip
    """Request fields that say what to erase."""
    if invert and not mask:
        raise UsageError("--invert-mask needs a mask", "add --mask FILE")
    if static and mask:
        raise UsageError("--static and a mask were given", "use one or the other")
    return {
        "points": tuple(points or ()), "not_points": tuple(not_points or ()), "boxes": tuple(boxes or ()),
        "mask": mask, "invert_mask": invert, "start": start, "end": end, "static": static,
    }  # fmt: skip


def networks(
    tracker: str, track_every: int | None, device: str, weights: list[str] | None, models: str | None,
    accepted: list[str] | None,
) -> dict[str, Any]:  # fmt: skip
    """Request fields that say which networks run, from what weights, where."""
    return {
        "tracker": tracker, "track_every": track_every,
        "device": _one_of("device", device, ("auto", "cuda", "mps", "cpu")), "weights": tuple(weights or ()),
        "models": str(Path(models).absolute()) if models else None, "accept_license": tuple(accepted or ()),
    }  # fmt: skip
