"""vremove frame, info and doctor: look at a clip, and at the installation."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vremove_cli.commands import options as o
from vremove_cli.commands.common import console, exits
from vremove_cli.console import human
from vremove_cli.errors import UsageError


def frame(
    source: Annotated[str, typer.Argument(metavar="INPUT")],
    output: Annotated[str, typer.Option("-o", "--output", metavar="FRAME.png")],
    at: Annotated[str, typer.Option("--at", metavar="WHEN", help="A frame (120), a time (4.5s) or #1001.")] = "0",
    grid: Annotated[bool, typer.Option("--grid", help="Draw a labelled pixel grid.")] = False,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Write one frame as PNG, with a pixel grid to read coordinates off if you like."""
    talk = console(quiet=quiet, debug=debug)
    with exits(talk):
        target = Path(output)
        if target.suffix.lower() != ".png":
            raise UsageError(f"{output} must be a .png", "name it frame.png")
        if target.exists() and not overwrite:
            raise UsageError(f"{output} exists already", "add --overwrite to replace it")
        if target.exists() and target.resolve().parent in (Path(source).resolve(), Path(source).resolve().parent):
            _not_of_the_input(target, source)
        if not target.absolute().parent.is_dir():
            raise UsageError(f"the folder {target.absolute().parent} does not exist", "make it first")
        from vremove_cli.media.png import write_rgb_image
        from vremove_cli.media.read import open_clip
        from vremove_cli.preview import with_grid
        from vremove_cli.prompts import frame_of, parse_when

        when = parse_when(at.removeprefix("@"))
        clip = open_clip(source)
        index = frame_of(when, clip.info.times, clip.info.file_numbers)
        (picture,) = clip.frames(index, index + 1)
        shown = clip.info.orientation.display(picture.rgb8())
        write_rgb_image(target, with_grid(shown) if grid else shown.copy())
        talk.say(f"frame {index} of {clip.info.frames}, {shown.shape[1]}x{shown.shape[0]}")
        talk.data(None, output)


def _not_of_the_input(target: Path, source: str) -> None:
    from vremove_cli.media.read import open_clip

    files = open_clip(source).info.files or (source,)
    if target.resolve() in {Path(f).resolve() for f in files}:
        raise UsageError(f"{target} belongs to the input", "choose another name with -o")


def info(
    source: Annotated[str, typer.Argument(metavar="INPUT")],
    json: o.Json = False,
    debug: o.Debug = False,
) -> None:
    """Say what a clip is: frames, times, size, pixel format, colour, other streams, cuts."""
    talk = console(json=json, debug=debug)
    with exits(talk):
        from vremove_cli.media.probe import scan

        clip = scan(source, look_only=True)
        talk.data(_facts(clip), "\n".join(f"{k}: {v}" for k, v in _facts(clip).items()))


def _facts(clip: Any) -> dict[str, Any]:
    width, height = clip.shown_size
    colour = clip.colour
    return {
        "input": clip.path,
        "container": clip.container,
        "codec": clip.codec,
        "profile": clip.profile,
        "size": f"{width}x{height}",
        "rotated": not clip.orientation.identity,
        "frames": clip.frames,
        "seconds": round(float(clip.times.end_seconds), 3),
        "rate": "constant" if clip.times.constant else "variable",
        "frames_per_second": round(float(clip.times.rate), 3),
        "time_base": str(clip.times.time_base),
        "pixel_format": clip.pix_fmt,
        "colour": f"{colour.primaries}/{colour.transfer}/{colour.matrix} range {colour.range}",
        "hdr": clip.hdr,
        "streams": [str(s) for s in clip.streams],
        "chapters": clip.chapters,
        "cuts": list(clip.cuts),
        "notes": list(clip.notes),
    }


def doctor(json: o.Json = False, debug: o.Debug = False) -> None:
    """Check the installation: versions, encoders, device, disk."""
    talk = console(json=json, debug=debug)
    with exits(talk):
        facts = _installation()
        talk.data(facts, "\n".join(f"{k}: {v}" for k, v in facts.items()))


def _installation() -> dict[str, Any]:
    import os
    import platform
    import shutil
    from importlib.metadata import PackageNotFoundError, version

    from vremove_cli import __version__
    from vremove_cli.media.ffmpeg_info import library_versions, missing_encoders

    def installed(name: str) -> str:
        try:
            return version(name)
        except PackageNotFoundError:
            return "missing: run `pip install vremove` again"

    names = ("av", "opencv-python-headless", "numpy", "torch", "diffusers", "transformers", "huggingface-hub")
    missing = missing_encoders()
    return {
        "vremove": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        **{name: installed(name) for name in names},
        "ffmpeg libraries": library_versions(),
        "encoders": f"missing: {', '.join(missing)}" if missing else "all here",
        "device": _device(),
        "models here": ", ".join(_models()) or "none: `vremove models list` names some",
        "free disk here": human(shutil.disk_usage(".").free),
    }


def _models() -> list[str]:
    from vremove_cli.weights import store
    from vremove_cli.weights.catalogue import catalogue

    return [name for name, model in catalogue().items() if model.repo and store.find_cached(model) is not None]


def _device() -> str:
    try:
        import torch
    except ImportError as error:
        return f"cpu (torch cannot be imported: {error})"
    if torch.cuda.is_available():
        return f"cuda ({torch.cuda.get_device_name(0)})"
    if torch.backends.mps.is_available():
        return "mps"
    return "cpu (torch sees no GPU); the plate and the flow tracker do not need one"
