"""The plan: everything that is decided before any work, as one immutable JSON file."""

import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from vremove_cli import __version__
from vremove_cli.errors import MediaError, NothingError, UsageError, VremoveError
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.job.choices import Choice
from vremove_cli.job.request import Request
from vremove_cli.job.task_graph import Task
from vremove_cli.job.workdir.records import from_json, read_record, to_json, write_record
from vremove_cli.media import sequence
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.encoder_context import EncodeSpec
from vremove_cli.media.streams import StreamPlan
from vremove_cli.networks.arithmetic import Arithmetic
from vremove_cli.networks.sam2_package import config_beside
from vremove_cli.removers.common.vram_estimate import MemoryMode
from vremove_cli.tracking.base import ObjectPrompts
from vremove_cli.tracking.registry import TrackerChoice
from vremove_cli.weights.hub import sha256_of
from vremove_cli.weights.store import Checkpoint

SCHEMA = 14
EMPTY_MASK = "the mask is empty on every frame"
SHRUNK_MASK = "nothing is left of the mask after --grow shrank it"
_SAMPLE = 1 << 18  # bytes of a large file that are read at its start, middle and end
_WATCH_EVERY = 10.0  # seconds between looks at the inputs while a stage runs
_SMALL = 1 << 16  # bytes up to which a picture of a sequence is read whole


@dataclass(frozen=True)
class Plan:
    """A job, decided.

    Attributes:
        request: What the user asked for.
        versions: Versions of the tool that decided it and of the libraries that compute, by name.
        fingerprints: Digests of the files that are read, by role: clip, mask, effects, affected, key@PATH,
            reference@FRAME.
        clip: The scanned clip.
        encode: The encoder and its settings.
        streams: What becomes of every other stream.
        mask: The user's mask, scanned.
        tracked: Whether a tracker makes the masks, or made those of the file: they miss the object's fringe.
        effects: The user's mask of shadows and reflections, scanned.
        affected: The user's mask of what will move, scanned.
        key_masks: Key masks by path, scanned.
        references: Clean pictures by frame.
        tracker: The tracker and its model.
        weights: Digests of the user's own weights, by model name or LoRA path.
        remover: Name of the remover.
        checkpoints: The remover's models.
        memory: Where the weights of its networks are, on every machine alike.
        arithmetic: The device that all networks run on, and how they compute, on every machine alike.
        conditional: Whether the remover works only on shots where recovery leaves too much.
        choices: Why this tracker and this remover, and what was left out.
        span: Frames that are edited.
        segments: The span in segments of the plate.
        prompts: Prompts in stored pixels, by object name and frame.
        tasks: All pieces of work, in an order that can be done.
        notes: What the user should know before the work.
    """

    request: Request
    versions: dict[str, str]
    fingerprints: dict[str, str]
    clip: ClipInfo
    encode: EncodeSpec
    streams: tuple[StreamPlan, ...]
    mask: ClipInfo | None
    tracked: bool
    effects: ClipInfo | None
    affected: ClipInfo | None
    key_masks: dict[str, ClipInfo]
    references: dict[int, ClipInfo]
    tracker: TrackerChoice
    weights: dict[str, str]
    remover: str
    checkpoints: tuple[Checkpoint, ...]
    memory: MemoryMode
    arithmetic: Arithmetic
    conditional: bool
    choices: tuple[Choice, ...]
    span: FrameRange
    segments: tuple[FrameRange, ...]
    prompts: dict[str, dict[int, ObjectPrompts]]
    tasks: tuple[Task, ...]
    notes: tuple[str, ...]

    @property
    def inputs(self) -> dict[str, ClipInfo]:
        """All files that the job reads, by their role."""
        return inputs_by_role(self.clip, self.mask, self.effects, self.affected, self.key_masks, self.references)

    def tasks_of(self, *kinds: str) -> Iterator[Task]:
        """Yield the tasks of some kinds, in order."""
        return (t for t in self.tasks if t.kind in kinds)

    def save(self, path: Path) -> None:
        """Write the plan so that a reader finds all of it or none."""
        write_record(path, {"schema": SCHEMA, **self.to_json()})

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        data: dict[str, Any] = to_json(self)
        return data

    @classmethod
    def load(cls, path: Path) -> "Plan":
        """Read a plan; one that was read a moment ago and has not changed is not read again.

        Raises:
            UsageError: There is no such file.
            VremoveError: It is damaged, or of another version of the tool.
        """
        try:
            state = path.stat()
            return _read(path.absolute(), (state.st_ino, state.st_size, state.st_mtime_ns))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UsageError(f"{path.parent} holds no plan", "make one with `vremove plan`") from error
        except (KeyError, ValueError, TypeError) as error:
            raise VremoveError(f"{path} is damaged ({error})", "delete the work folder and plan again") from error


@lru_cache(maxsize=4)  # a worker of a farm reads the plan for each of its tasks; a long clip's takes half a second
def _read(path: Path, _state: tuple[int, ...]) -> Plan:
    """Read a plan; `_state` is another one when the file changes."""
    data = read_record(path)
    if data["schema"] != SCHEMA:
        raise VremoveError(f"{path} was made by another version ({_version_in(data)})", "plan the work again")
    plan = from_json(Plan, data)
    if any(t.id != Path(t.id).name or t.id.startswith(".") for t in plan.tasks):  # they become names of files
        raise ValueError("a task's id is no name")
    return plan


def _version_in(data: dict[str, Any]) -> str:
    """Return the version of the tool that wrote a plan of any schema."""
    return str(data["versions"]["vremove"] if "versions" in data else data["version"])


def fingerprint(path: str, files: tuple[str, ...] = ()) -> str:
    """Return a digest that changes when a file does: of its size, and of samples of its bytes.

    Args:
        path: A file, or the path of an image sequence.
        files: The sequence's pictures when it was scanned; those that are there now are read, since one may have come.

    Raises:
        OSError: A file cannot be read.
        MediaError: The sequence has no pictures any more.
    """
    digest = hashlib.sha256()
    for name in sequence.find(path).files if files else (path,):
        picture = Path(name)
        size = picture.stat().st_size
        digest.update(f"{picture.name} {size}\n".encode())
        if files and size < _SMALL:
            digest.update(picture.read_bytes())
            continue
        with picture.open("rb") as file:
            for at in (0, size // 2, max(0, size - _SAMPLE)):
                file.seek(at)
                digest.update(file.read(_SAMPLE))
    return digest.hexdigest()


def fingerprints_of(inputs: dict[str, ClipInfo]) -> dict[str, str]:
    """Return the digests of scanned files by their role."""
    return {role: fingerprint(info.path, info.files) for role, info in inputs.items()}


def inputs_by_role(
    clip: ClipInfo,
    mask: ClipInfo | None,
    effects: ClipInfo | None,
    affected: ClipInfo | None,
    key_masks: dict[str, ClipInfo],
    references: dict[int, ClipInfo],
) -> dict[str, ClipInfo]:
    """Return all files that a job reads, by their role."""
    files = {"clip": clip, "mask": mask, "effects": effects, "affected": affected}
    named = {role: info for role, info in files.items() if info is not None}
    named |= {f"key@{path}": info for path, info in key_masks.items()}
    return named | {f"reference@{t}": info for t, info in references.items()}


def same_job(old: Plan, new: Request) -> bool:
    """Return whether a plan is for this request and this version, and its files and weights are unchanged."""
    try:
        asked = replace(new, download=old.request.download, frozen=old.request.frozen)  # which change no result
        same = old.request == asked and old.versions.get("vremove") == __version__
        same = same and old.fingerprints == fingerprints_of(old.inputs)
        return same and old.weights == digests_of_weights(new)
    except OSError:
        return False


def digests_of_weights(request: Request) -> dict[str, str]:
    """Return digests of the user's own weights by model name, and of LoRA files by path.

    All bytes are read, because training may change a few tensors only. A configuration beside a checkpoint counts where
    it is used.
    """
    out = {}
    for name, place in {**request.own_weights, **{path: path for path, _ in request.own_loras}}.items():
        path = Path(place)
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        if request.sam2_engine == "sam2" and path.is_file() and (config := config_beside(path)) is not None:
            files.append(config)
        out[name] = " ".join(sha256_of(p) for p in files)
    return out


def check_input(plan: Plan) -> None:
    """Raise `MediaError` when an input is not the one that was planned for."""
    what = " or ".join(f"{'its' if n else 'the'} input {i.path}" for n, i in enumerate(plan.inputs.values()))
    try:
        now = fingerprints_of(plan.inputs)
    except OSError as error:
        raise MediaError(f"{what} is gone", "put it back, or plan again") from error
    if now != plan.fingerprints:
        raise MediaError(f"{what} has changed since it was planned", "plan the work again")


class InputWatch:
    """Notices that an input is replaced or changed while a job runs.

    Args:
        plan: The plan whose inputs are watched, from now on.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan, self._states, self._at = plan, _states(plan), time.monotonic()

    def check(self, *, always: bool = True) -> None:
        """Raise `MediaError` when an input is not the one that was planned for.

        Args:
            always: Whether to look although the last look was a moment ago; a long sequence has many files.
        """
        if not always and time.monotonic() - self._at < _WATCH_EVERY:
            return
        now, self._at = _states(self._plan), time.monotonic()
        if now != self._states:
            check_input(self._plan)
            self._states = now


_KEPT = 4  # plans whose inputs a process watches from one call to the next
_watches: list[tuple[Plan, InputWatch]] = []


def watched(plan: Plan) -> InputWatch:
    """Return a watch over a plan's inputs, which are those that were planned for.

    A worker that does one task of a long job after another, each in a call of its own, looks at the files themselves
    once, and then at what the file system says of them: a mask may be 100,000 pictures.

    Raises:
        MediaError: An input is not the one that was planned for.
    """
    for known, watch in _watches:
        if known is plan:
            watch.check(always=False)
            return watch
    check_input(plan)
    _watches.append((plan, InputWatch(plan)))
    del _watches[:-_KEPT]
    return _watches[-1][1]


def _states(plan: Plan) -> list[tuple[int, ...]]:
    """Return what the file system says of every file that is read."""
    paths = {name for info in plan.inputs.values() for name in (info.path, *info.files)}
    return [state for path in sorted(paths) for state in _state_of(path)]


def _state_of(path: str) -> list[tuple[int, ...]]:
    """Return what changes when a file is written or replaced; nothing for a pattern."""
    try:
        found = os.stat(path)
    except OSError:
        return []
    return [(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)]


def full_mask() -> NothingError:
    """Return the error of a mask file that leaves nothing of the picture."""
    return NothingError(
        "the mask file covers the whole picture on every frame", "white means erase: add --invert-mask if it is black"
    )


def nothing_to_erase(what: str) -> NothingError:
    """Return the error of a job that has nothing to erase."""
    return NothingError(what, "check the prompt with `vremove mask INPUT ... --write-preview sheet.png`")
