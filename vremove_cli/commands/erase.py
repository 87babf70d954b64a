"""vremove erase: the main job, for one clip or a small batch."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vremove_cli.commands import options as o
from vremove_cli.commands.common import console, exits, filling, grow_pixels, moving, networks, prompts
from vremove_cli.console import Console, human, summary_text
from vremove_cli.errors import ExitCode, UsageError, explain

_NAME_HOLES = ("{stem}", "{name}", "{ext}")


def erase(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT...", help="Video files, image sequences or folders.")],
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="OUT|PATTERN", help="Default: {stem}.clean{ext} beside it.")
    ] = None,
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
    overwrite: o.Overwrite = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    work: o.Work = None,
    keep_work: o.KeepWork = False,
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
    """Erase an object from a video and write the same video without it."""
    talk = console(json=json, progress=progress, quiet=quiet, debug=debug)
    with exits(talk):
        asked = prompts(point, not_point, box, mask, invert_mask, start, end, static)
        asked |= {"text": text, "pick": tuple(pick or ()), "all_matches": all_matches}
        asked |= networks(tracker, track_every, device, weights, models, accept_license)
        asked |= filling(remover, recover, prompt, second_pass, quality, steps, size, guidance, lora, conditioning)
        asked |= moving(mask, affected_mask, affected_point, affected_box, affected_by, quadmask)
        asked |= {
            "grow": grow_pixels(grow), "feather": feather, "effects": effects,
            "references": tuple(reference or ()), "seed": seed,
            "skip_errors": skip_errors, "codec": codec, "crf": crf, "preset": preset, "pix_fmt": pix_fmt,
            "drop_streams": drop_streams,
        }  # fmt: skip
        beside = {
            "mask": write_mask, "matte": write_matte, "effects": write_effects, "quadmask": write_quadmask,
            "plate": write_plate,
            "patch": write_patch, "preview": write_preview,
        }  # fmt: skip
        if len(inputs) == 1:
            one = _target(output, inputs[0])
            if dry_run:
                planned = _dry(talk, inputs[0], one, asked)
                if talk.as_json:
                    talk.data(planned, "")
            else:
                result = _erase(talk, inputs[0], one, work, keep_work, overwrite, beside, asked)
                talk.say(summary_text(result))
                talk.data(_plain(result), result.output)
            return
        if work or any(beside.values()):
            raise UsageError("--work and --write-... are for a single input", "erase the clips one at a time")
        _batch(talk, inputs, output, overwrite, keep_work, dry_run, asked)


def _erase(
    talk: Console, source: str, output: str | None, work: str | None, keep: bool, overwrite: bool,
    beside: dict[str, str | None], asked: dict[str, Any],
) -> Any:  # fmt: skip
    from vremove_cli.job.exports import Exports
    from vremove_cli.job.runner import run_erase as run

    with talk.watching() as event:
        return run(
            source, output, work=work, keep_work=keep, overwrite=overwrite, exports=Exports(**beside), on_event=event,
            **dict(asked),
        )  # fmt: skip


def _plain(result: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(result)


def _target(pattern: str | None, source: str) -> str | None:
    """The output for one input: `{stem}`, `{name}` and `{ext}` in a pattern are the input's."""
    if pattern is None:
        return None
    path = Path(source)
    return pattern.replace("{stem}", path.stem).replace("{name}", path.name).replace("{ext}", path.suffix)


def _batch(
    talk: Console, inputs: list[str], output: str | None, overwrite: bool, keep: bool, dry: bool, asked: dict[str, Any]
) -> None:
    """Several clips with one prompt, or with masks from one folder; a failure does not stop the others."""
    if output and not any(h in output for h in _NAME_HOLES) and not Path(output).is_dir():
        raise UsageError(
            f"one output '{output}' was given for {len(inputs)} inputs",
            "use a folder, or a pattern such as out/{stem}.mp4",
        )
    _check_prompts(asked)
    targets = [_batch_target(output, source) for source in inputs]
    if len({t for t in targets if t}) < sum(t is not None for t in targets):
        raise UsageError(
            f"two inputs would be written to one output by '{output}'", "use {stem} or {name} in the pattern"
        )
    results: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    for source, target in zip(inputs, targets, strict=True):
        try:
            mine = {**asked, "mask": _own_mask(asked["mask"], source)} if asked["mask"] else asked
            talk.say(f"== {source}")
            if dry:
                results.append(_dry(talk, source, target, mine))
                continue
            result = _erase(talk, source, target, None, keep, overwrite, {}, mine)
            talk.say(summary_text(result))
            results.append(_plain(result))
            if not talk.as_json:
                talk.data(None, result.output)
        except Exception as error:
            code, sentence = explain(error)
            talk.complain(f"{source}: {sentence}")
            failed.append({"input": source, "error": sentence, "exit": int(code)})
    if talk.as_json:
        talk.data({"results": results, "failed": failed}, "")
    if failed:
        names = ", ".join(str(f["input"]) for f in failed)
        talk.complain(
            f"{len(failed)} of {len(inputs)} inputs failed ({names}): see above for each; the others are done"
        )
        raise typer.Exit(int(ExitCode.BATCH))


def _check_prompts(asked: dict[str, Any]) -> None:
    """Refuse what is wrong for every input once, as a usage error."""
    from vremove_cli.job.planner import parse_prompts
    from vremove_cli.job.request import Request

    parse_prompts(Request(input="", output="", **asked))


def _batch_target(output: str | None, source: str) -> str | None:
    target = _target(output, source)
    if target and Path(target).is_dir():
        return str(Path(target) / f"{Path(source).stem}.clean{Path(source).suffix}")
    return target


def _own_mask(mask: str, source: str) -> str:
    """A clip's mask in a folder of masks: the file or folder with the clip's stem; any other mask is for all."""
    folder, stem = Path(mask), Path(source).stem
    if not folder.is_dir():
        return mask
    found = sorted(p for p in folder.iterdir() if p.stem in (stem, f"{stem}.mask", f"{stem}_mask"))
    if not found:
        raise UsageError(f"{mask} holds no mask for {source}", f"name it {stem}.mkv, or a folder {stem}")
    return str(found[0])


def _not_here(plan: Any) -> list[Any]:
    """The models that a run would fetch."""
    from vremove_cli.weights import store
    from vremove_cli.weights.catalogue import DETECTOR, catalogue, find

    parts = [*plan.parts, *filter(None, [plan.tracker.part])]
    wanted = [part.model for part in parts if not part.path]
    if plan.request.text and DETECTOR not in plan.request.own_weights:
        wanted += [m for m in [find(DETECTOR, catalogue(plan.request.models))] if store.find_cached(m) is None]
    return wanted


def _gpu(need: Any) -> str:
    """What a remover's network takes, in a line; nothing for one that has none."""
    if need is None:
        return ""
    return (
        f"GPU memory, computed: {human(need.resident)} with all weights there, {human(need.fp8)} with them in 8 bits, "
        f"{human(need.offload)} block by block\n"
    )


def _dry(talk: Console, source: str, output: str | None, asked: dict[str, Any]) -> dict[str, Any]:
    """Print what would be done; gives it as data too."""
    from dataclasses import asdict

    from vremove_cli.job.estimate import estimate
    from vremove_cli.job.output_paths import make_request
    from vremove_cli.job.planner import make_plan

    with talk.watching() as event:
        plan = make_plan(make_request(source, output, dict(asked)), event, fetch=False)
    need = estimate(plan)
    fetched = [{"name": m.name, "megabytes": m.megabytes} for m in _not_here(plan)]
    downloads = ", ".join(f"{d['name']} ({d['megabytes'] or '?'} MB)" for d in fetched)
    kinds = {k: sum(t.kind == k for t in plan.tasks) for k in dict.fromkeys(t.kind for t in plan.tasks)}
    tasks = ", ".join(f"{n} {k}" for k, n in kinds.items())
    text = (
        f"{plan.clip.frames} frames, {plan.clip.shown_size[0]}x{plan.clip.shown_size[1]}, "
        f"frames {plan.span.start} to {plan.span.stop - 1} edited\n"
        f"tasks: {tasks}\nmemory: about {human(need.memory)}\n"
        f"disk: about {human(need.work)} for the work, {human(need.output)} for the result\n"
        f"time: about {need.seconds:.0f} s on a machine like the one in the README\n"
        f"{_gpu(need.network)}downloads: {downloads or 'none'}\noutput: {plan.request.output} ({plan.encode})"
    )
    if not talk.as_json:
        talk.data(None, text)
    return {
        "output": plan.request.output, "tasks": [t.id for t in plan.tasks], "memory": need.memory, "work": need.work,
        "result": need.output, "seconds": need.seconds, "gpu": need.network and asdict(need.network),
        "downloads": fetched, "encoder": str(plan.encode),
        "notes": list(plan.notes),
    }  # fmt: skip
