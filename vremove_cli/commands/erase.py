"""vremove erase: the main job, for one clip or several."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from vremove_cli.commands.signature import FileOptions, Given, command, reporting
from vremove_cli.console import Console, format_bytes, summary_text
from vremove_cli.errors import ExitCode, UsageError, explain
from vremove_cli.job.request import Exports, Request

_FIELDS = ("{stem}", "{name}", "{ext}")  # of an output pattern


@command(Request, Exports, FileOptions, name="erase")
def erase(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT", help="Videos, image sequences or folders.")],
    given: Given,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="OUT", help="Result. \\[{stem}.clean{ext}]"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; do nothing.")] = False,
) -> None:
    r"""Erase an object from a video and write the same video without it.

    vremove erase clip.mp4 --point 320,240
    vremove erase clip.mp4 --box @2.5s:100,80,240,300 -o clean.mov

    A prompt may name its object and its frame or time: ball=@2.5s:320,240.
    Defaults stand in brackets; set others as VREMOVE_ERASE_CRF=12, or as
    crf = 12 under \[erase] in vremove.toml.
    """
    with reporting(given) as console:
        if len(inputs) > 1:
            _erase_many(console, inputs, output, dry_run, given)
        elif dry_run:
            planned = _dry_run(console, inputs[0], _fill_in(output, inputs[0]), given.of(Request))
            if console.as_json:
                console.data(planned, "")
        else:
            summary = _erase(console, inputs[0], _fill_in(output, inputs[0]), given, given.of(Request))
            console.say(summary_text(summary))
            console.data(asdict(summary), summary.output)


def _erase(console: Console, source: str, output: str | None, given: Given, options: dict[str, Any]) -> Any:
    from vremove_cli.job.runner import run_erase

    with console.watching() as event:
        return run_erase(
            source,
            output,
            exports=given.read(Exports),
            on_event=event,
            **asdict(given.read(FileOptions)),
            **options,
        )


def _fill_in(pattern: str | None, source: str) -> str | None:
    """Return the output for one input: `{stem}`, `{name}` and `{ext}` in a pattern are the input's."""
    if pattern is None:
        return None
    path = Path(source)
    return pattern.replace("{stem}", path.stem).replace("{name}", path.name).replace("{ext}", path.suffix)


def _erase_many(console: Console, inputs: list[str], output: str | None, dry_run: bool, given: Given) -> None:
    """Erase from several clips with one prompt, or with masks from one folder; a failure does not stop the others."""
    if given.of(FileOptions).get("work") or given.of(Exports):
        raise UsageError("--work and --write-... are for a single input", "erase the clips one at a time")
    if output and not any(field in output for field in _FIELDS) and not Path(output).is_dir():
        raise UsageError(
            f"one output '{output}' was given for {len(inputs)} inputs",
            "use a folder, or a pattern such as out/{stem}.mp4",
        )
    options = given.of(Request)
    _check_once(options)
    targets = [_target(output, source) for source in inputs]
    if len({t for t in targets if t}) < sum(t is not None for t in targets):
        raise UsageError(
            f"two inputs would be written to one output by '{output}'", "use {stem} or {name} in the pattern"
        )
    results: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    for source, target in zip(inputs, targets, strict=True):
        try:
            own = {**options, "mask": _own_mask(options["mask"], source)} if options.get("mask") else options
            console.say(f"== {source}")
            if dry_run:
                results.append(_dry_run(console, source, target, own))
                continue
            summary = _erase(console, source, target, given, own)
            console.say(summary_text(summary))
            results.append(asdict(summary))
            if not console.as_json:
                console.data(None, summary.output)
        except Exception as error:
            code, sentence = explain(error)
            console.complain(f"{source}: {sentence}")
            failed.append({"input": source, "error": sentence, "exit": int(code)})
    _report_batch(console, inputs, results, failed)


def _report_batch(
    console: Console, inputs: list[str], results: list[dict[str, Any]], failed: list[dict[str, Any]]
) -> None:
    if console.as_json:
        console.data({"results": results, "failed": failed}, "")
    if failed:
        names = ", ".join(str(f["input"]) for f in failed)
        console.complain(
            f"{len(failed)} of {len(inputs)} inputs failed ({names}): see above for each; the others are done"
        )
        raise typer.Exit(int(ExitCode.BATCH))


def _check_once(options: dict[str, Any]) -> None:
    """Raise `UsageError` for what is wrong for every input."""
    from vremove_cli.job.object_prompts import object_prompts
    from vremove_cli.job.request import request_from

    object_prompts(request_from("", "", options))


def _target(output: str | None, source: str) -> str | None:
    target = _fill_in(output, source)
    if target and Path(target).is_dir():
        return str(Path(target) / f"{Path(source).stem}.clean{Path(source).suffix}")
    return target


def _own_mask(mask: str, source: str) -> str:
    """Return a clip's mask in a folder of masks: the file or folder with the clip's stem; any other mask is for all."""
    folder, stem = Path(mask), Path(source).stem
    if not folder.is_dir():
        return mask
    found = sorted(p for p in folder.iterdir() if p.stem in (stem, f"{stem}.mask", f"{stem}_mask"))
    if not found:
        raise UsageError(f"{mask} holds no mask for {source}", f"name it {stem}.mkv, or a folder {stem}")
    return str(found[0])


def _dry_run(console: Console, source: str, output: str | None, options: dict[str, Any]) -> dict[str, Any]:
    """Print what would be done, and return it as data."""
    from vremove_cli.job.estimate import estimate
    from vremove_cli.job.output_paths import make_request
    from vremove_cli.job.planner import make_plan

    with console.watching() as event:
        plan = make_plan(make_request(source, output, options), event, fetch=False)
    need = estimate(plan)
    kinds = [t.kind.replace("_", " ") for t in plan.tasks]
    tasks = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    downloads = ", ".join(f"{d['name']} ({d['megabytes'] or '?'} MB)" for d in need.downloads)
    width, height = plan.clip.shown_size
    lines = [
        f"{plan.clip.frames} frames, {width}x{height}, frames {plan.span.start} to {plan.span.stop - 1} edited",
        f"tasks: {tasks}",
        f"memory: about {format_bytes(need.memory)}",
        f"disk: about {format_bytes(need.work)} for the work, {format_bytes(need.result)} for the result",
        f"time: about {need.seconds:.0f} s on a machine like the one in the README",
        *_gpu_line(need.gpu),
        f"downloads: {downloads or 'none'}",
        f"output: {need.output} ({need.encoder})",
    ]
    if not console.as_json:
        console.data(None, "\n".join(lines))
    return asdict(need)


def _gpu_line(gpu: dict[str, int] | None) -> list[str]:
    """Return a line on what a remover's network takes; none for one that has no network."""
    if gpu is None:
        return []
    resident, fp8, offload = (format_bytes(gpu[mode]) for mode in ("resident", "fp8", "offload"))
    return [
        f"GPU memory, computed: {resident} with all weights there, {fp8} with them in 8 bits, {offload} block by block"
    ]
