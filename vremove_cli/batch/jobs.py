"""Which jobs a command has: from its inputs (clips, folders, patterns), or from a list of jobs in a file."""

import csv
import glob
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Any

from vremove_cli.errors import MediaError, UsageError, VremoveError
from vremove_cli.options import checked, nearest, options_of, values_from

if TYPE_CHECKING:
    from vremove_cli.job.file_options import FileOptions
    from vremove_cli.job.request import Exports

_CLIPS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".m2ts", ".mts", ".mpg", ".mpeg", ".mxf", ".wmv",
          ".flv", ".3gp", ".ogv")  # fmt: skip
_NUMBER = re.compile(r"[\d.]+%?")
_WORDS = 8  # of a name with spaces that was not quoted, at most
_SEVERAL = ";"  # between the values of an option that repeats, in a CSV file


@dataclass(frozen=True)
class Job:
    """One clip and what to do with it.

    Attributes:
        input: The clip.
        output: The result; None for the default.
        options: Values of `Request`'s options, by name.
        exports: Values of the options that write something beside the result.
        files: Values of the options about files: overwrite, work, keep_work.
        name: What the job is called in messages: the input, with the output where an input occurs twice.
    """

    input: str
    output: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    exports: dict[str, Any] = field(default_factory=dict)
    files: dict[str, Any] = field(default_factory=dict)
    name: str = ""

    def read(self) -> "tuple[Exports, FileOptions]":
        """Return what is written beside the result, and the options about files, checked."""
        from vremove_cli.job.file_options import FileOptions
        from vremove_cli.job.request import Exports

        exports = Exports(**values_from(Exports, self.exports))
        return exports, FileOptions(**values_from(FileOptions, self.files))

    @property
    def target(self) -> Path | None:
        """Path of the result; None where the run will say that there can be none."""
        from vremove_cli.job.output_paths import default_output, resolved_output

        source = os.path.abspath(self.input)
        try:
            return Path(resolved_output(self.output or default_output(source), source)) if self.input else None
        except VremoveError:
            return None


def jobs_given(inputs: list[str], batch: str | None, common: Job) -> list[Job]:
    """Return the jobs of a command: those of its inputs, or those of a list.

    Args:
        inputs: As of `jobs_of`.
        batch: Path of a list, as of `jobs_in`.
        common: What all jobs share.

    Raises:
        UsageError: Both were given, or neither; or the jobs are wrong.
    """
    if bool(inputs) == bool(batch):
        problem = "inputs and --batch were given" if batch else "there is no input"
        raise UsageError(problem, "give clips, or --batch FILE")
    return jobs_in(batch, common) if batch else jobs_of(inputs, common)


def jobs_of(inputs: list[str], common: Job) -> list[Job]:
    """Return a job for each clip that the inputs name.

    Args:
        inputs: Clips, folders of clips or of pictures, and patterns such as `clips/*.mp4`.
        common: What all jobs share; its output and its other paths may hold placeholders.

    Raises:
        UsageError: The inputs look like a slip, a placeholder is unknown, or jobs would write the same file.
        MediaError: A pattern matches nothing.
    """
    _refuse_slips(inputs, common.options)
    clips = [clip for text in inputs for clip in clips_of(text)]
    if len(clips) > 1:
        _refuse_one_place(common, len(clips))
    jobs = [_filled(replace(common, input=clip), single=len(clips) == 1) for clip in clips]
    if len(jobs) > 1:
        for job in jobs:
            _check(job)
    return _named(jobs)


def clips_of(text: str) -> list[str]:
    """Return the clips that an input names: itself, the clips or photos of a folder, or what a pattern matches.

    Pictures of a folder are one sequence, unless none of them belong together (`sequence.are_photos`).

    Results of earlier runs (`clip.clean.mp4` beside `clip.mp4`) are left out of folders and patterns.

    Raises:
        MediaError: A pattern matches nothing.
    """
    from vremove_cli.media.sequence import IMAGES, are_photos, has_number

    path = Path(text)
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
        if (path / "input_video.mp4").exists():
            return [text]
        pictures = _sources([str(p) for p in files if p.suffix.lower() in IMAGES])
        if pictures:
            return pictures if are_photos([Path(p) for p in pictures]) else [text]
        return _sources([str(p) for p in files if p.suffix.lower() in _CLIPS]) or [text]
    if path.exists() or has_number(text) or not glob.has_magic(text):
        return [text]
    matches = sorted(glob.glob(text, recursive=True))
    if not matches:
        raise MediaError(f"no file matches {text}", "check the pattern")
    return _sources(matches)


def _sources(paths: list[str]) -> list[str]:
    """Return paths without those that are results of others among them."""
    known = set(paths)
    return [p for p in paths if not ((source := p.replace(".clean.", ".")) != p and source in known)]


def jobs_in(path: str, common: Job) -> list[Job]:
    """Return the jobs of a file: one row of CSV, or one JSON object a line, for each.

    Args:
        path: A .csv file whose first row names the columns, or a .jsonl file.
        common: What all jobs share; a row's own values count more.

    Raises:
        UsageError: The file cannot be read, or a row is wrong; the error names the line.
    """
    jobs = []
    for line, row in _rows(path):
        try:
            jobs.append(_job_of(row, common))
        except VremoveError as error:
            raise UsageError(f"{path}, line {line}: {error.problem}", error.advice) from error
    if not jobs:
        raise UsageError(f"{path} holds no jobs", "give each clip a row")
    return _named(jobs)


def _rows(path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows of a file with their line numbers; cells that are empty are left out."""
    kind = Path(path).suffix.lower()
    if kind not in (".csv", ".jsonl"):
        raise UsageError(f"--batch {path} is neither .csv nor .jsonl", "name a file of one of the two kinds")
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            if kind == ".csv":
                reader = csv.DictReader(file, strict=True)
                for row in reader:
                    if None in row or None in row.values():
                        raise UsageError(f"{path}, line {reader.line_num} has another number of cells", "correct it")
                    yield reader.line_num, {k.strip(): v for k, v in row.items() if v.strip()}
            else:
                for number, line in enumerate(file, 1):
                    if line.strip():
                        yield number, _json_row(path, number, line)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read ({error})", "check the path given with --batch") from error


def _json_row(path: str, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}, line {number} is no JSON ({error})", "write one object a line") from error
    if not isinstance(row, dict):
        raise UsageError(f"{path}, line {number} is no JSON object", 'write {"input": ..., "output": ...}')
    return row


def _job_of(row: dict[str, Any], common: Job) -> Job:
    """Return the job of one row, with checked values."""
    from vremove_cli.job.file_options import FileOptions
    from vremove_cli.job.request import Exports, Request

    values = {key.replace("-", "_"): value for key, value in row.items()}
    source, output = values.pop("input", None), values.pop("output", common.output)
    if not isinstance(source, str):
        raise UsageError("the row has no input", "give each row the path of its clip under 'input'")
    if not isinstance(output, str | None):
        raise UsageError(f"the output {output!r} is no path", "write it as text")
    groups: dict[type, dict[str, Any]] = {
        Request: dict(common.options), Exports: dict(common.exports), FileOptions: dict(common.files)
    }  # fmt: skip
    known = {name: kind for kind in groups for name in options_of(kind)}
    for name, value in values.items():
        if name not in known:
            raise UsageError(f"there is no option '{name}'", nearest(name, ("input", "output", *known)))
        opt = options_of(known[name])[name]
        parts = value.split(_SEVERAL) if opt.repeats and isinstance(value, str) else value
        groups[known[name]][name] = checked(opt, parts)
    made = Job(source, output, groups[Request], groups[Exports], groups[FileOptions])
    made = _filled(made, single=True)
    _check(made)
    return made


def _check(job: Job) -> None:
    """Raise `UsageError` for what is wrong with a job's options, as far as that shows without looking at the clip."""
    from vremove_cli.job.object_prompts import object_prompts
    from vremove_cli.job.request import request_from

    job.read()
    request = request_from("", "", job.options)
    if not Path(job.input).is_dir():  # a folder of VOID's scripts brings its own mask
        object_prompts(request)


def filled(pattern: str, source: str) -> str:
    """Return a path with its placeholders replaced: `{stem}`, `{name}` and `{ext}` are those of an input.

    Raises:
        UsageError: A placeholder is unknown, or a brace stands alone.
    """
    path, out = Path(source), ""
    known = {"stem": path.stem, "name": path.name, "ext": path.suffix}
    try:
        for text, name, form, conversion in Formatter().parse(pattern):
            out += text
            if name is not None:
                if name not in known or form or conversion:
                    places = ", ".join(f"{{{field}}}" for field in known)
                    raise UsageError(f"'{pattern}' has the unknown placeholder {{{name}}}", f"known are {places}")
                out += known[name]
    except ValueError as error:
        raise UsageError(f"'{pattern}' has a brace that stands alone", "write {{ or }} for the sign itself") from error
    return out


def _filled(job: Job, *, single: bool) -> Job:
    """Return a job with its placeholders filled in; among several clips, with its own mask of a folder of masks."""
    paths = {name: value for name, value in job.files.items() if name == "work" and value}
    files = {**job.files, **{name: filled(value, job.input) for name, value in paths.items()}}
    exports = {name: filled(value, job.input) for name, value in job.exports.items() if value}
    output = None if job.output is None else filled(job.output, job.input)
    options = dict(job.options)
    if not single and options.get("mask"):
        options["mask"] = _own_mask(options["mask"], job.input)
    return replace(job, output=output, options=options, exports=exports, files=files)


def _own_mask(mask: str, source: str) -> str:
    """Return a clip's mask in a folder of masks: the file or folder with the clip's stem; any other mask is for all."""
    folder, stem = Path(mask), Path(source).stem
    if not folder.is_dir():
        return mask
    found = sorted(p for p in folder.iterdir() if p.stem in (stem, f"{stem}.mask", f"{stem}_mask"))
    if not found:
        raise UsageError(f"{mask} holds no mask for {source}", f"name it {stem}.mkv, or a folder {stem}")
    return str(found[0])


def _refuse_one_place(common: Job, count: int) -> None:
    """Raise `UsageError` when several clips would be written to one place."""
    for path in (common.files.get("work"), *common.exports.values()):
        if path and not _has_field(path):
            raise UsageError(f"one '{path}' was given for {count} inputs", "put {stem} in its name")
    output = common.output
    if output and not _has_field(output) and not output.endswith("/") and not Path(output).is_dir():
        raise UsageError(
            f"one output '{output}' was given for {count} inputs", "use a folder, or a pattern such as out/{stem}.mp4"
        )


def _has_field(pattern: str) -> bool:
    """Return whether a path has a placeholder; an unknown one is refused when it is filled in."""
    return "{" in pattern or "}" in pattern


def _named(jobs: list[Job]) -> list[Job]:
    """Return jobs with names of their own; raises `UsageError` when two would write the same file."""
    taken: dict[Path, Job] = {}
    for job in jobs:
        exports = (Path(p).absolute() for p in job.exports.values())
        for path in (*filter(None, (job.target,)), *exports):
            other = taken.setdefault(path, job)
            if other is not job:
                raise UsageError(
                    f"{other.input} and {job.input} would be written to one output, {path}",
                    "use {stem} or {name} in its name",
                )
    times = Counter(job.input for job in jobs)
    return [replace(job, name=job.input if times[job.input] == 1 else f"{job.input} -> {job.target}") for job in jobs]


def _refuse_slips(inputs: list[str], options: dict[str, Any]) -> None:
    """Raise `UsageError` for inputs that are no files but the rest of a name or of coordinates."""
    absent = {text for text in inputs if not Path(text).exists()}
    numbers = [text for text in inputs if text in absent and _NUMBER.fullmatch(text)]
    for name in ("point", "box", "not_point"):
        begun = [str(v) for v in options.get(name, ()) if _NUMBER.fullmatch(str(v).rpartition(":")[2])]
        if begun and numbers:
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(f"'{numbers[0]}' is no file", f"write {flag} {','.join([begun[0], *numbers])}")
    for start in range(len(inputs)):
        for stop in range(start + 2, min(len(inputs), start + _WORDS) + 1):
            whole = " ".join(inputs[start:stop])
            if any(text in absent for text in inputs[start:stop]) and Path(whole).exists():
                raise UsageError(f"'{inputs[start]}' is no file", f"write '{whole}' in quotes")
