"""vremove mask: the masks alone, to look at, to correct, to use elsewhere."""

from dataclasses import asdict
from typing import Annotated

import typer

from vremove_cli.commands import options as o
from vremove_cli.commands.common import console, exits, networks, prompts
from vremove_cli.errors import UsageError


def mask(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="A video file, image sequence or folder.")],
    output: Annotated[str, typer.Option("-o", "--output", metavar="MASK.mkv|FOLDER", help="Where the masks go.")],
    point: o.Points = None,
    not_point: o.NotPoints = None,
    box: o.Boxes = None,
    text: o.Text = None,
    pick: o.Pick = None,
    all_matches: o.AllMatches = False,
    mask: o.Mask = None,
    invert_mask: o.InvertMask = False,
    static: o.Static = False,
    start: o.Start = None,
    end: o.End = None,
    tracker: o.TrackerName = "auto",
    track_every: o.TrackEvery = None,
    device: o.DeviceName = "auto",
    weights: o.Weights = None,
    models: o.OwnModels = None,
    accept_license: o.AcceptLicence = None,
    skip_errors: o.SkipErrors = False,
    overwrite: o.Overwrite = False,
    work: o.Work = None,
    keep_work: Annotated[
        bool, typer.Option("--keep-work/--no-keep-work", help="Leave the work for the next correction.")
    ] = True,
    per_object: Annotated[bool, typer.Option("--per-object", help="A mask for each named object.")] = False,
    write_cutout: o.WriteCutout = None,
    write_preview: o.WritePreview = None,
    grid: Annotated[bool, typer.Option("--grid", help="Coordinates on the preview.")] = False,
    json: o.Json = False,
    progress: o.ProgressMode = "auto",
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Find the object on every frame and write its mask: white on black, lossless.

    Run it again with one more prompt (--point @87:X,Y) and only what that changes is done anew.
    """
    talk = console(json=json, progress=progress, quiet=quiet, debug=debug)
    with exits(talk):
        asked = prompts(point, not_point, box, mask, invert_mask, start, end, static)
        asked |= {"text": text, "pick": tuple(pick or ()), "all_matches": all_matches}
        asked |= networks(tracker, track_every, device, weights, models, accept_license)
        if grid and not write_preview:
            raise UsageError("--grid draws on the preview", "add --write-preview sheet.png")
        from vremove_cli.job.runner import run_mask

        with talk.watching() as event:
            result = run_mask(
                source, output, work=work, keep_work=keep_work, overwrite=overwrite, preview=write_preview,
                per_object=per_object, cutout=write_cutout, grid=grid,
                on_event=event, skip_errors=skip_errors, **asked,
            )  # fmt: skip
        talk.say(f"{result.frames} frames, {result.width}x{result.height}, {result.seconds:.1f} s")
        talk.data(asdict(result), "\n".join(result.outputs or (result.output,)))
