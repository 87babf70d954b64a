"""The plan: everything that is decided before any work, as one immutable JSON file."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vremove_cli import __version__
from vremove_cli.errors import MediaError, NothingError, UsageError, VremoveError
from vremove_cli.job.events import Emit, Note, Progress
from vremove_cli.job.finding import text_prompts
from vremove_cli.job.graph import (
    AFFECTED,
    FOLLOWED,
    LONGEST,
    UNNAMED,
    Task,
    around,
    fill_task,
    follow_tasks,
    is_affected,
    keyed,
    mask_tasks,
    pieces_of,
    shot_info,
)  # fmt: skip
from vremove_cli.job.request import Request, picture_of
from vremove_cli.masks import trackers
from vremove_cli.masks.base import Clicks
from vremove_cli.masks.files import MaskFile
from vremove_cli.masks.trackers import Choice
from vremove_cli.media import sequence
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.encode import EncodeSpec
from vremove_cli.media.encoders import choose
from vremove_cli.media.read import open_clip
from vremove_cli.media.streams import StreamPlan, plan_streams
from vremove_cli.prompts import Prompt, frame_of, inside, parse_prompt, parse_when
from vremove_cli.removers import registry
from vremove_cli.removers.base import Settings
from vremove_cli.weights import store
from vremove_cli.weights.catalogue import Model, catalogue, find
from vremove_cli.weights.hub import sha256_of
from vremove_cli.weights.store import Part

SCHEMA = 5


@dataclass(frozen=True)
class Plan:
    """A job, decided. `clicks` are the prompts by object name and frame, in stored pixels, `weights` digests of the
    user's own by model name."""

    request: Request
    version: str
    fingerprint: str
    clip: ClipInfo
    encode: EncodeSpec
    streams: tuple[StreamPlan, ...]
    mask: ClipInfo | None
    effects: ClipInfo | None
    affected: ClipInfo | None
    references: dict[int, ClipInfo]
    tracker: Choice
    weights: dict[str, str]
    remover: str
    parts: tuple[Part, ...]
    run: tuple[int, int]
    segments: tuple[tuple[int, int], ...]
    clicks: dict[str, dict[int, Clicks]]
    tasks: tuple[Task, ...]
    notes: tuple[str, ...]

    @property
    def inputs(self) -> list[ClipInfo]:
        """All files that the job reads: the clip, its masks, its clean pictures."""
        return [
            i for i in (self.clip, self.mask, self.effects, self.affected, *self.references.values()) if i is not None
        ]

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA, "version": self.version, "request": self.request.to_json(),
            "fingerprint": self.fingerprint, "clip": self.clip.to_json(), "encode": self.encode.to_json(),
            "streams": [asdict(s) for s in self.streams],
            "mask": self.mask.to_json() if self.mask else None,
            "effects": self.effects.to_json() if self.effects else None,
            "affected": self.affected.to_json() if self.affected else None,
            "references": {str(t): i.to_json() for t, i in self.references.items()},
            "tracker": asdict(self.tracker), "weights": self.weights, "remover": self.remover,
            "parts": [asdict(p) for p in self.parts], "run": self.run, "segments": self.segments,
            "clicks": {n: {str(f): asdict(c) for f, c in by.items()} for n, by in self.clicks.items()},
            "tasks": [asdict(t) for t in self.tasks], "notes": self.notes,
        }  # fmt: skip

    @classmethod
    def load(cls, path: Path) -> "Plan":
        """Read a plan; raises `VremoveError` when it is missing, damaged or of another version of the tool."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data["schema"] != SCHEMA:
                raise VremoveError(f"{path} was made by another version ({data['version']})", "plan the work again")
            return cls._from_json(data)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UsageError(f"{path.parent} holds no plan", "make one with `vremove plan`") from error
        except (KeyError, ValueError, TypeError) as error:
            raise VremoveError(f"{path} is damaged ({error})", "delete the work folder and plan again") from error

    @classmethod
    def _from_json(cls, data: dict[str, Any]) -> "Plan":
        clicks = {
            name: {int(f): Clicks(**{k: tuple(tuple(r) for r in v) for k, v in c.items()}) for f, c in by.items()}
            for name, by in data["clicks"].items()
        }
        tasks = tuple(Task(**{**t, "run": tuple(t["run"]), "needs": tuple(t["needs"])}) for t in data["tasks"])
        return cls(
            request=Request.from_json(data["request"]),
            version=data["version"],
            fingerprint=data["fingerprint"],
            clip=ClipInfo.from_json(data["clip"]),
            encode=EncodeSpec(**data["encode"]),
            streams=tuple(StreamPlan(**s) for s in data["streams"]),
            mask=ClipInfo.from_json(data["mask"]) if data["mask"] else None,
            effects=ClipInfo.from_json(data["effects"]) if data["effects"] else None,
            affected=ClipInfo.from_json(data["affected"]) if data["affected"] else None,
            references={int(t): ClipInfo.from_json(i) for t, i in data["references"].items()},
            tracker=_choice(data["tracker"]),
            weights=data["weights"],
            remover=data["remover"],
            parts=tuple(_part(p) for p in data["parts"]),
            run=(data["run"][0], data["run"][1]),
            segments=tuple((a, b) for a, b in data["segments"]),
            clicks=clicks,
            tasks=tasks,
            notes=tuple(data["notes"]),
        )


def _choice(data: dict[str, Any]) -> Choice:
    return Choice(**{**data, "part": _part(data["part"]) if data["part"] else None})


def _part(data: dict[str, Any]) -> Part:
    lists = ("files", "unverified")
    values: dict[str, Any] = {k: tuple(v) if k in lists else v for k, v in data["model"].items()}
    return Part(Model(**values), data["path"], data["commit"])


def fingerprint(info_path: str, files: tuple[str, ...] = ()) -> str:
    """A digest that changes when the input does: sizes, and the bytes of both ends and of the middle.

    Of a sequence (that had `files`), those that are there now: one may have come. Raises `MediaError` without any.
    """
    digest = hashlib.sha256()
    for name in sequence.find(info_path).files if files else (info_path,):
        path = Path(name)
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        if files and size < 1 << 16:
            digest.update(path.read_bytes())
            continue
        with path.open("rb") as file:
            for at in (0, size // 2, max(0, size - (1 << 18))):
                file.seek(at)
                digest.update(file.read(1 << 18))
    return digest.hexdigest()


def same_job(old: Plan, new: Request) -> bool:
    """Whether a plan was made for this request by this version, and input, mask and weights are still the same."""
    try:
        same = old.request == new and old.version == __version__ and old.fingerprint == _fingerprints(old)
        return same and old.weights == _digests(new)
    except OSError:
        return False


def _fingerprints(plan: Plan) -> str:
    return " ".join(fingerprint(i.path, i.files) for i in plan.inputs)


def make_plan(request: Request, emit: Emit, before: Plan | None = None, *, fetch: bool = True) -> Plan:
    """Scan the input and decide everything; raises a `VremoveError` for whatever cannot be done.

    A plan made `before` for the same input saves scanning it again. Weights that are not here are fetched if allowed.
    """
    prompts = parse_prompts(request)
    clip = _scanned(request, before, emit)
    notes = list(clip.notes)
    run = _range(request, clip)
    if request.text:
        prompts += text_prompts(request, clip, run, emit, fetch=fetch)
        shown = {p.name for p in prompts if p.positive}  # without the detector, not what a negative point is beside
        prompts = [p for p in prompts if p.name in shown]
    encode = choose(clip, request.output, request.wishes, notes)
    streams = plan_streams(clip, encode.container, drop=request.drop_streams, notes=notes)
    moved = _affected(request)
    clicks = _clicks([*prompts, *moved], clip, run)
    mask = open_clip(request.mask).info if request.mask else None
    if mask:
        notes += MaskFile(mask, clip).notes
    effects = open_clip(request.effects).info if request.effects not in ("auto", "off") else None
    if effects:
        notes += MaskFile(effects, clip, what="effects").notes
    affected = open_clip(request.affected).info if request.affected else None
    if affected:
        notes += MaskFile(affected, clip, what="affected").notes
    references = _references(request, clip, run, notes)
    digests = [fingerprint(i.path, i.files) for i in (clip, mask, effects, affected, *references.values()) if i]
    tracker = _tracker(request, notes, emit if fetch else None)
    weights = _digests(request)
    remover, why = registry.resolve(request.remover)
    notes.append(f"remover: {remover} ({why})")
    pieces = pieces_of(run, clip, LONGEST)
    tasks = follow_tasks(clicks, pieces_of(run, clip, FOLLOWED), clip.cuts, notes)
    if request.mask:
        tasks = mask_tasks(pieces) + tasks
    if request.effects != "off":
        tasks += around("effects", tasks, pieces, clip, run)
    plates = around("plate", tasks, pieces, clip, run)
    maker = registry.make(remover, Settings(request.prompt, request.second_pass))
    if (affected or moved) and maker.spec.shows != "source":
        raise UsageError(f"{remover} does not know what will move", "add --remover void, or leave that mask out")
    parts = _parts(request, maker.spec.models, emit if fetch else None)
    stages = maker.stages(shot_info(clip, run, pieces))
    fills = [fill_task(s, plates) for s in stages]
    everything = (*tasks, *plates, *fills)
    for text in notes:
        emit(Note(text))
    return Plan(
        request, __version__, " ".join(digests), clip, encode, streams, mask, effects, affected, references, tracker,
        weights, remover, parts, run, pieces, clicks,
        keyed(everything, request, clicks, digests, _made_with(tracker, weights, run), _which(parts, weights)),
        tuple(notes),
    )  # fmt: skip


def _scanned(request: Request, before: Plan | None, emit: Emit) -> ClipInfo:
    if before is not None and before.request.input == request.input:
        same = before.request.skip_errors == request.skip_errors
        if same and before.fingerprint.split()[0] == fingerprint(before.clip.path, before.clip.files):
            return before.clip
    return open_clip(
        request.input, skip_errors=request.skip_errors, progress=lambda d, n: emit(Progress("scan", d, n))
    ).info


def parse_prompts(request: Request) -> list[Prompt]:
    prompts = [parse_prompt(p, "point") for p in request.points]
    prompts += [parse_prompt(p, "point", positive=False) for p in request.not_points]
    prompts += [parse_prompt(p, "box") for p in request.boxes]
    if taken := next((p.name for p in prompts if is_affected(p.name)), None):
        raise UsageError(f"an object is named '{taken}'", "give it another name: that is what will move is called")
    if request.mask and (prompts or request.text):
        raise UsageError("a mask and points, boxes or a text were given", "use one or the other")
    if (request.pick or request.all_matches) and not request.text:
        raise UsageError("--pick and --all-matches choose among what --text finds", "add --text PHRASE")
    if not request.mask and not request.text and not any(p.positive for p in prompts):
        raise UsageError("nothing says what to erase", "add --point X,Y or --box X0,Y0,X1,Y1 or --mask FILE")
    names = {p.name for p in prompts} | ({""} if request.text else set())
    if names >= {"", UNNAMED}:
        raise UsageError(
            f"one object is named '{UNNAMED}' and one has no name, which are the same", "name each of them differently"
        )
    for name in names:
        if not any(p.positive for p in prompts if p.name == name) and not (request.text and not name):
            raise UsageError(f"object '{name}' has only negative points", f"add --point {name}=X,Y")
    return prompts


def _affected(request: Request) -> list[Prompt]:
    """Prompts for what will move once the object is gone, under names of their own."""
    prompts = [parse_prompt(p, "point") for p in request.affected_points]
    prompts += [parse_prompt(p, "box") for p in request.affected_boxes]
    if prompts and request.affected:
        raise UsageError("a mask of what will move and points or boxes on it were given", "use one or the other")
    return [replace(p, name=f"{AFFECTED}.{p.name}" if p.name else AFFECTED) for p in prompts]


def _references(request: Request, clip: ClipInfo, run: tuple[int, int], notes: list[str]) -> dict[int, ClipInfo]:
    """Clean pictures by the frame they are for; without @WHEN, the first that is edited."""
    out: dict[int, ClipInfo] = {}
    for text in request.references:
        path, when = picture_of(text)
        picture = open_clip(path).info
        if picture.frames != 1:
            raise UsageError(f"the reference {path} has {picture.frames} frames", "give one picture: FILE.png@WHEN")
        frame = frame_of(parse_when(when), clip.times, clip.file_numbers) if when else run[0]
        if frame in out or not run[0] <= frame < run[1]:
            raise UsageError(f"the reference {text} is for a frame that is not edited or has one", "check WHEN")
        if picture.shown_size != clip.shown_size:
            notes.append(f"the reference {path} was scaled to the clip's size")
        out[frame] = picture
    return out


def _range(request: Request, clip: ClipInfo) -> tuple[int, int]:
    start = frame_of(parse_when(request.start), clip.times, clip.file_numbers) if request.start else 0
    stop = _end(request.end, clip) if request.end else clip.frames
    if stop <= start:
        raise UsageError(f"the range {request.start}..{request.end} is empty", "give a --start before the --end")
    return start, stop


def _end(text: str, clip: ClipInfo) -> int:
    """The first frame that is no longer edited: for a time, the first that starts at it or later."""
    when = parse_when(text)
    if when.unit == "frame" and when.value == clip.frames:
        return clip.frames
    if when.unit == "seconds":
        return next((t for t in range(clip.frames) if clip.times.seconds(t) >= when.value), clip.frames)
    return frame_of(when, clip.times, clip.file_numbers)


def _clicks(prompts: list[Prompt], clip: ClipInfo, run: tuple[int, int]) -> dict[str, dict[int, Clicks]]:
    """Prompts by object and frame, in stored pixels."""
    out: dict[str, dict[int, Clicks]] = {}

    def frame_for(prompt: Prompt) -> int:
        """Where a prompt says, else the first frame; for a negative point, the frame its object is first pointed at."""
        if prompt.when is None and not prompt.positive:
            return min(frame_for(p) for p in prompts if p.positive and p.name == prompt.name)
        return run[0] if prompt.when is None else frame_of(prompt.when, clip.times, clip.file_numbers)

    for prompt in prompts:
        inside(prompt, *clip.shown_size)
        frame = frame_for(prompt)
        if not run[0] <= frame < run[1]:
            raise UsageError(f"the prompt {prompt} lies outside the range that is edited", "move --start or --end")
        had = out.setdefault(prompt.name, {}).get(frame, Clicks())
        out[prompt.name][frame] = _joined(had, prompt, clip)
    for name, by_frame in out.items():
        frame = min(by_frame)
        if not (by_frame[frame].points or by_frame[frame].boxes):
            raise UsageError(
                f"frame {frame} has a negative point and nothing says before it what the object is",
                f"add --point {name}{'=' if name else ''}@{frame}:X,Y on the object",
            )
    return out


def _joined(had: Clicks, prompt: Prompt, clip: ClipInfo) -> Clicks:
    def stored(x: float, y: float) -> tuple[float, float]:
        return clip.orientation.store_point(x, y, clip.width, clip.height)

    if not prompt.is_box:
        point = stored(*prompt.xy)
        if prompt.positive:
            return Clicks((*had.points, point), had.negative, had.boxes)
        return Clicks(had.points, (*had.negative, point), had.boxes)
    width, height = clip.shown_size
    x0, y0, x1, y1 = prompt.xy
    one = stored(x0, y0)
    two = stored(min(x1, width) - 1, min(y1, height) - 1)
    left, right = sorted((one[0], two[0]))
    top, bottom = sorted((one[1], two[1]))
    return Clicks(had.points, had.negative, (*had.boxes, (left, top, right + 1, bottom + 1)))


def _tracker(request: Request, notes: list[str], emit: Emit | None) -> Choice:
    """The tracker; its weights are fetched if there is somebody to tell."""
    if request.mask and not (request.affected_points or request.affected_boxes):
        return Choice("file", "a mask was given")
    models = catalogue(request.models)
    for name in request.own_weights:
        find(name, models)
    progress = (lambda done, total: emit(Progress("fetch", done, total))) if emit else None
    choice = trackers.choose(
        request.tracker, request.track_every, request.device, models, request.own_weights, request.accept_license,
        progress,
    )  # fmt: skip
    notes.append(f"tracker: {choice.name} ({choice.why})")
    return choice


def _parts(request: Request, names: tuple[str, ...], emit: Emit | None) -> tuple[Part, ...]:
    """The remover's models; they are fetched if there is somebody to tell."""
    models = catalogue(request.models)
    progress = (lambda done, total: emit(Progress("fetch", done, total))) if emit else None
    own = request.own_weights
    return tuple(store.part_of(find(n, models), own, request.accept_license, progress) for n in names)


def _which(parts: Iterable[Part | None], weights: dict[str, str]) -> list[Any]:
    """Which models a result depends on: their commits, or what is in the user's own."""
    return [[p.model.name, p.commit or weights.get(p.model.name, "")] for p in parts if p is not None]


def _made_with(tracker: Choice, weights: dict[str, str], run: tuple[int, int]) -> list[Any]:
    """What the masks depend on besides the prompts."""
    few = min(trackers.FEW, trackers.seen(tracker, run[1] - run[0])) if tracker.part else 0
    return [tracker.name, tracker.every, few, *_which([tracker.part], weights)]


def _digests(request: Request) -> dict[str, str]:
    """What is in the user's own weights, by model name: all of it, for training changes a few tensors at a time."""
    out = {}
    for name, place in request.own_weights.items():
        path = Path(place)
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        out[name] = " ".join(sha256_of(p) for p in files)
    return out


def check_input(plan: Plan) -> None:
    """Raise `MediaError` when the input is no longer the one that was planned for."""
    what = " or ".join(f"{'its' if n else 'the'} input {i.path}" for n, i in enumerate(plan.inputs))
    try:
        now = _fingerprints(plan)
    except OSError as error:
        raise MediaError(f"{what} is gone", "put it back, or plan again") from error
    if now != plan.fingerprint:
        raise MediaError(f"{what} has changed since it was planned", "plan the work again")


def nothing(what: str) -> NothingError:
    """The error for a job that has nothing to erase."""
    return NothingError(what, "check the prompt with `vremove mask INPUT ... --write-preview sheet.png`")
