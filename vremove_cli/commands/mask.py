"""vremove mask: the masks alone, to look at, to correct, to use elsewhere."""

from typing import Annotated

import typer

from vremove_cli.commands.signature import Given, StrictOptions, command, refuse_doubtful, reporting
from vremove_cli.job.file_options import FileOptions
from vremove_cli.job.request import Exports, Request


@command(
    Request,
    Exports,
    FileOptions,
    StrictOptions,
    name="mask",
    only=lambda o: o.tracking or o.name == "keep_work",
    defaults={"keep_work": True},
)
def mask(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="A video, image sequence or folder.")],
    given: Given,
    output: Annotated[str, typer.Option("-o", "--output", metavar="MASK.mkv|FOLDER", help="Where the masks go.")],
    per_object: Annotated[bool, typer.Option("--per-object", help="Write a mask for each named object.")] = False,
    grid: Annotated[bool, typer.Option("--grid", help="Draw coordinates on the preview.")] = False,
) -> None:
    """Find the object on every frame and write its mask: white on black, lossless.

    vremove mask clip.mp4 --point 320,240 -o mask.mkv --write-preview sheet.png
    vremove mask clip.mp4 --point 320,240 --point @87:300,200 -o m.mkv --overwrite

    Run it again with one more prompt: only what that changes is done again.
    """
    with reporting(given, source) as console:
        from vremove_cli.job.mask_runner import run_mask

        with console.watching(source) as event:
            summary = run_mask(
                source,
                output,
                per_object=per_object,
                grid=grid,
                exports=given.read(Exports),
                on_event=event,
                ask=console.asker,
                **{"keep_work": True, **given.of(FileOptions)},
                **given.of(Request),
            )
        console.done(summary, "mask")
        refuse_doubtful(given, summary)
