"""vremove plan, work and finish: the three steps of erase, for farms, CI shards and resuming."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vremove_cli.commands import options as o
from vremove_cli.commands.common import console, exits, filling, grow_pixels, moving, networks, prompts
from vremove_cli.console import summary_text

Folder = Annotated[str, typer.Argument(metavar="WORK", help="The work folder that `vremove plan` made.")]


def plan(
    source: Annotated[str, typer.Argument(metavar="INPUT")],
    output: Annotated[str | None, typer.Option("-o", "--output", metavar="OUT")] = None,
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
    grow: o.Grow = "auto",
    feather: o.Feather = 2.0,
    effects: o.Effects = "auto",
    reference: o.References = None,
    tracker: o.TrackerName = "auto",
    track_every: o.TrackEvery = None,
    device: o.DeviceName = "auto",
    weights: o.Weights = None,
    models: o.OwnModels = None,
    accept_license: o.AcceptLicence = None,
    remover: o.RemoverName = "auto",
    recover: o.Recover = "on",
    prompt: o.ScenePrompt = "",
    second_pass: o.SecondPass = "off",
    quality: o.Quality = "standard",
    steps: o.Steps = None,
    size: o.WorkSize = None,
    guidance: o.Guidance = None,
    lora: o.Loras = None,
    conditioning: o.Conditioning = "released",
    affected_mask: o.AffectedMask = None,
    affected_point: o.AffectedPoints = None,
    affected_box: o.AffectedBoxes = None,
    affected_by: o.AffectedBy = None,
    quadmask: o.Quadmask = None,
    seed: o.Seed = 0,
    skip_errors: o.SkipErrors = False,
    codec: o.Codec = None,
    crf: o.Crf = None,
    preset: o.Preset = None,
    pix_fmt: o.PixFmt = None,
    drop_streams: o.DropStreams = False,
    work: o.Work = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Decide everything and write it to a work folder; nothing else is done."""
    talk = console(json=json, quiet=quiet, debug=debug)
    with exits(talk):
        asked = prompts(point, not_point, box, mask, invert_mask, start, end, static)
        asked |= {"text": text, "pick": tuple(pick or ()), "all_matches": all_matches}
        asked |= networks(tracker, track_every, device, weights, models, accept_license)
        asked |= filling(remover, recover, prompt, second_pass, quality, steps, size, guidance, lora, conditioning)
        asked |= moving(mask, affected_mask, affected_point, affected_box, affected_by, quadmask)
        from vremove_cli.job.runner import run_plan as make

        with talk.watching() as event:
            made, folder = make(
                source, output, work=work, on_event=event, grow=grow_pixels(grow), feather=feather, effects=effects,
                references=tuple(reference or ()),
                seed=seed, skip_errors=skip_errors, codec=codec, crf=crf, preset=preset, pix_fmt=pix_fmt,
                drop_streams=drop_streams, **asked,
            )  # fmt: skip
        tasks = [{"id": t.id, "needs": list(t.needs)} for t in made.tasks]
        talk.data({"work": str(folder), "tasks": tasks, "notes": list(made.notes)}, str(folder))


def work(
    folder: Folder,
    task: Annotated[str | None, typer.Option("--task", metavar="ID", help="Only this task.")] = None,
    list_tasks: Annotated[bool, typer.Option("--list", help="Name the tasks and whether they are done.")] = False,
    json: o.Json = False,
    progress: o.ProgressMode = "auto",
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Do the tasks of a plan that are left; run it on as many machines as see the folder."""
    talk = console(json=json, progress=progress, quiet=quiet, debug=debug)
    with exits(talk):
        from vremove_cli.job.plan import Plan
        from vremove_cli.job.runner import run_work as run
        from vremove_cli.job.workdir.folder import WorkFolder

        if list_tasks:
            place = WorkFolder(Path(folder))
            states = {t.id: place.finished(t.id) for t in Plan.load(place.plan).tasks}
            talk.data(states, "\n".join(f"{'done' if done else 'left'} {name}" for name, done in states.items()))
            return
        with talk.watching() as event:
            tally = run(folder, task=task, on_event=event)
        talk.data(asdict(tally), f"{len(tally.done)} done, {len(tally.reused)} were done already")


def finish(
    folder: Folder,
    output: Annotated[str | None, typer.Option("-o", "--output", metavar="OUT")] = None,
    overwrite: o.Overwrite = False,
    write_mask: o.WriteMask = None,
    write_matte: o.WriteMatte = None,
    write_effects: o.WriteEffects = None,
    write_quadmask: o.WriteQuadmask = None,
    write_plate: o.WritePlate = None,
    write_patch: o.WritePatch = None,
    write_preview: o.WritePreview = None,
    json: o.Json = False,
    progress: o.ProgressMode = "auto",
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Write the result of a plan whose tasks are done."""
    talk = console(json=json, progress=progress, quiet=quiet, debug=debug)
    with exits(talk):
        from vremove_cli.job.exports import Exports
        from vremove_cli.job.runner import run_finish

        beside = Exports(
            mask=write_mask, matte=write_matte, effects=write_effects, quadmask=write_quadmask, plate=write_plate,
            patch=write_patch,
            preview=write_preview,
        )  # fmt: skip
        with talk.watching() as event:
            result = run_finish(folder, output, overwrite=overwrite, exports=beside, on_event=event)
        talk.say(summary_text(result))
        talk.data(asdict(result), result.output)
