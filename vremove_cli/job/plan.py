"""The plan: everything that is decided before any work, as one immutable JSON file."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vremove_cli import __version__
from vremove_cli.errors import MediaError, NothingError, UsageError, VremoveError
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.job.request import Request
from vremove_cli.job.task_graph import (
    Task,
)  # fmt: skip
from vremove_cli.media import sequence
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.encoder_context import EncodeSpec
from vremove_cli.media.streams import StreamPlan
from vremove_cli.tracking.base import ObjectPrompts
from vremove_cli.tracking.registry import TrackerChoice
from vremove_cli.weights.catalogue import Model
from vremove_cli.weights.hub import sha256_of
from vremove_cli.weights.store import Part

SCHEMA = 6


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
    tracker: TrackerChoice
    weights: dict[str, str]
    remover: str
    parts: tuple[Part, ...]
    span: FrameRange
    segments: tuple[FrameRange, ...]
    clicks: dict[str, dict[int, ObjectPrompts]]
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
            "parts": [asdict(p) for p in self.parts], "span": self.span, "segments": self.segments,
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
            name: {
                int(f): ObjectPrompts(**{k: tuple(tuple(r) for r in v) for k, v in c.items()}) for f, c in by.items()
            }
            for name, by in data["clicks"].items()
        }
        tasks = tuple(Task(**{**t, "span": FrameRange(*t["span"]), "needs": tuple(t["needs"])}) for t in data["tasks"])
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
            span=FrameRange(*data["span"]),
            segments=tuple(FrameRange(*s) for s in data["segments"]),
            clicks=clicks,
            tasks=tasks,
            notes=tuple(data["notes"]),
        )


def _choice(data: dict[str, Any]) -> TrackerChoice:
    return TrackerChoice(**{**data, "part": _part(data["part"]) if data["part"] else None})


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
        return same and old.weights == digests_of_weights(new)
    except OSError:
        return False


def _fingerprints(plan: Plan) -> str:
    return " ".join(fingerprint(i.path, i.files) for i in plan.inputs)


def digests_of_weights(request: Request) -> dict[str, str]:
    """What is in the user's own weights, by model name, and in changes to weights, by path: all of it, for training
    changes a few tensors at a time."""
    out = {}
    for name, place in {**request.own_weights, **{path: path for path, _ in request.own_loras}}.items():
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
