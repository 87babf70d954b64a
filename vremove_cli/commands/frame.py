"""vremove frame: one frame as PNG, to read coordinates off."""

from pathlib import Path
from typing import Annotated

import typer

from vremove_cli.atomic import refuse_dash, refuse_existing
from vremove_cli.commands.signature import Given, command, reporting
from vremove_cli.errors import UsageError
from vremove_cli.job.file_options import FileOptions


@command(FileOptions, name="frame", only=lambda o: o.name in ("overwrite", "quiet", "debug"))
def frame(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="A video, image sequence or folder.")],
    given: Given,
    output: Annotated[str, typer.Option("-o", "--output", metavar="FRAME.png", help="The picture.")],
    at: Annotated[
        str,
        typer.Option(
            "--at", metavar="WHEN", show_default=False, help="Frame (120), time (4.5s), timecode or #1001. \\[0]"
        ),
    ] = "0",
    grid: Annotated[bool, typer.Option("--grid", help="Draw a labelled pixel grid.")] = False,
) -> None:
    """Write one frame as PNG, with a pixel grid to read coordinates off if you like.

    vremove frame clip.mp4 --at 4.5s --grid -o grid.png
    """
    with reporting(given, source) as console:
        refuse_dash(output)
        target = Path(output)
        if target.suffix.lower() != ".png":
            raise UsageError(f"{output} must be a .png", "name it frame.png")
        refuse_existing(output, overwrite=given.read(FileOptions).overwrite)
        if target.exists() and target.resolve().parent in (Path(source).resolve(), Path(source).resolve().parent):
            _refuse_input(target, source)
        if not target.absolute().parent.is_dir():
            raise UsageError(f"the folder {target.absolute().parent} does not exist", "make it first")
        from vremove_cli.media.picture_export import write_rgb_image
        from vremove_cli.media.read import open_clip
        from vremove_cli.preview import with_grid
        from vremove_cli.prompts import frame_of, parse_when

        when = parse_when(at.removeprefix("@"))
        clip = open_clip(source)
        index = frame_of(when, clip.info)
        (picture,) = clip.frames(index, index + 1)
        shown = clip.info.orientation.display(picture.rgb8())
        write_rgb_image(target, with_grid(shown) if grid else shown.copy())
        console.say(f"frame {index} of {clip.info.frames}, {shown.shape[1]}x{shown.shape[0]}")
        console.data("frame", {"input": source, "output": output}, output)


def _refuse_input(target: Path, source: str) -> None:
    """Raise `UsageError` when the target is a file of the input."""
    from vremove_cli.media.read import open_clip

    files = open_clip(source).info.files or (source,)
    if target.resolve() in {Path(f).resolve() for f in files}:
        raise UsageError(f"{target} belongs to the input", "choose another name with -o")
