"""Which options make which results stale: each stage lists what its results depend on, and nothing else redoes it."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest

from support.clips import Frames, empty_scene, planes_of, write_clip, write_masks
from support.command import Vremove
from vremove_cli.job.events import silent
from vremove_cli.job.output_paths import make_request
from vremove_cli.job.plan import Plan
from vremove_cli.job.planner import make_plan
from vremove_cli.job.request import Request
from vremove_cli.job.stages.base import Rest
from vremove_cli.job.stages.kinds import STAGES
from vremove_cli.job.task_graph import Task
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.options import options_of
from vremove_cli.removers import registry
from vremove_cli.removers.base import Fill, RemoverSpec, Settings, Shot, ShotInfo, Stage
from vremove_cli.removers.common.vram_estimate import Network, Vae

OPTIONS = options_of(Request)
POINT = "12,32"  # on the square of frame 0
NETWORK_SETTINGS = (
    "prompt", "negative_prompt", "second_pass", "quality", "steps", "size", "guidance", "loras", "conditioning",
    "compile",
)  # fmt: skip


OWN_MODEL = """[mine]
repo = "me/mine"
files = ["model.safetensors"]
task = "track"
licence = "MIT"
commercial = true
"""


class Painter:
    """A remover of one stage a span that reads every setting and paints grey."""

    spec: ClassVar[RemoverSpec] = RemoverSpec(
        "painter", "Apache-2.0", "crop", accepts=NETWORK_SETTINGS, physics=True,
        network=Network(1, 1, 1, token=1, fixed=0, window=1, longest=1, latents=1, vae=Vae(1, 1, 1)),
    )  # fmt: skip

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def stages(self, shot: ShotInfo) -> list[Stage]:
        return [Stage(f"{a:04d}", a, b) for a, b in shot.spans]

    def size(self, width: int, height: int) -> tuple[int, int] | None:
        return self.settings.size

    def run(self, stage: Stage, shot: Shot, inputs: Mapping[Stage, Fill]) -> Fill:
        return Fill(np.full_like(shot.frames, 0.5))


class StillPainter(Painter):
    """The same for keyframes."""

    spec: ClassVar[RemoverSpec] = replace(Painter.spec, name="still-painter", paints=True)


@pytest.fixture(autouse=True)
def _painter() -> Iterator[None]:
    undo = [registry.register(kind.spec.name, kind) for kind in (Painter, StillPainter)]
    yield
    for one in undo:
        one()


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """A clip and all files that options name."""
    write_masks(tmp_path / "masks")
    cv2.imwrite(str(tmp_path / "clean.png"), empty_scene(0, 96, 64)[..., ::-1])
    for name in ("mine.safetensors", "own.pt"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "own.toml").write_text(OWN_MODEL)
    write_clip(tmp_path / "clip.mkv", codec="ffv1")
    names = ("clip.mkv", "masks", "clean.png", "mine.safetensors", "own.pt", "own.toml")
    return {name: str(tmp_path / name) for name in names}


def planned(files: dict[str, str], **options: Any) -> Plan:
    """Plan the small job: a point, effects, and the painter."""
    given = {"point": POINT, "remover": "painter", **options}
    return make_plan(make_request(files["clip.mkv"], None, {k: v for k, v in given.items() if v is not None}), silent)


# Another value of each option whose tasks stay the same: the keys alone tell what is redone.
OTHER: dict[str, Callable[[dict[str, str]], Any]] = {
    "effects": lambda f: f["masks"], "tracker": lambda f: "flow", "prompt": lambda f: "a lawn",
    "quality": lambda f: "best", "steps": lambda f: 7, "size": lambda f: (64, 64), "guidance": lambda f: 2.5,
    "lora": lambda f: f["mine.safetensors"], "conditioning": lambda f: "paper", "second_pass": lambda f: True,
    "affected_mask": lambda f: f["masks"], "recover": lambda f: False, "seed": lambda f: 5, "device": lambda f: "cpu",
    "accept_license": lambda f: "CC-BY-NC-4.0", "weights": lambda f: f"void-pass1={f['own.pt']}",
    "models": lambda f: f["own.toml"], "codec": lambda f: "h264", "crf": lambda f: 30, "preset": lambda f: "slow",
    "bitrate": lambda f: "2M", "encoder": lambda f: "nvenc",
    "pix_fmt": lambda f: "yuv444p", "drop_streams": lambda f: True,
    "static": lambda f: True, "grow": lambda f: 3, "feather": lambda f: 4.0, "reference": lambda f: f["clean.png"],
    "track_every": lambda f: 1, "threads": lambda f: 3, "skip_errors": lambda f: True,
    "memory": lambda f: "offload", "gpu_memory": lambda f: 24, "compile": lambda f: True,
    "download": lambda f: "never", "frozen": lambda f: True,
    "sam2_engine": lambda f: "transformers",  # the other one is in tracking/test_sam2_package.py
    "negative_prompt": lambda f: "blurry", "candidates": lambda f: 3, "min_score": lambda f: 0.4, "retry": lambda f: 2,
}  # fmt: skip
H264 = {"codec": "h264"}  # the clip's own encoder, ffv1, has no such option
COMPANIONS: dict[str, dict[str, Any]] = {
    "crf": H264, "preset": H264, "bitrate": H264, "candidates": {"remover": "still-painter"},
    "min_score": {"retry": 1, "min_score": 0.5}, "retry": {"retry": 1, "min_score": 0.5},
}  # fmt: skip

# Options that decide which tasks there are, or which frames and pixels they are about.
GRAPH = (
    "point", "box", "not_point", "text", "mask", "invert_mask", "quadmask", "start", "end", "remover", "affected_point",
    "affected_box", "affected_by", "pick", "all_matches", "key_mask", "cuts", "prompts",
)  # fmt: skip


def changed_kinds(before: Plan, after: Plan) -> set[str]:
    """Return the kinds of tasks whose results would be made anew."""
    keys = {t.id: t.key for t in before.tasks}
    return {t.kind for t in after.tasks if keys.get(t.id) != t.key}


def dependent_kinds(plan: Plan, option: str) -> set[str]:
    """Return the kinds of tasks that list an option, and of all tasks that need one of those."""
    stale: set[str] = set()
    for task in plan.tasks:  # in an order that can be done
        if option in STAGES[task.kind].depends_on or stale & set(task.needs):
            stale.add(task.id)
    return {t.kind for t in plan.tasks if t.id in stale}


def test_every_option_is_in_one_of_the_lists() -> None:
    assert sorted([*OTHER, *GRAPH]) == sorted(OPTIONS)
    assert {t for stage in STAGES.values() for t in stage.depends_on} <= set(OPTIONS)


@pytest.mark.parametrize("name", OTHER)
def test_an_option_redoes_the_stages_that_list_it(files: dict[str, str], name: str) -> None:
    beside = COMPANIONS.get(name, {})
    before, after = planned(files, **beside), planned(files, **{**beside, name: OTHER[name](files)})
    assert before.request != after.request or name in ("track_every", "sam2_engine")
    assert [t.id for t in before.tasks] == [t.id for t in after.tasks]
    assert {t.kind for t in before.tasks} == {"track", "background", "plate", "fill"}
    assert changed_kinds(before, after) == dependent_kinds(before, name)


def test_what_redoes_what(files: dict[str, str]) -> None:
    """The whole table, written out."""
    plan = planned(files)
    found = {name: dependent_kinds(plan, name) for name in OTHER}
    assert {name for name, kinds in found.items() if kinds == {"track", "background", "plate", "fill"}} == {
        "static", "skip_errors",
    }  # fmt: skip
    assert {name for name, kinds in found.items() if kinds == {"background", "plate", "fill"}} == {"effects", "grow"}
    assert {name for name, kinds in found.items() if kinds == {"plate", "fill"}} == {"feather", "recover", "reference"}
    assert {name for name, kinds in found.items() if kinds == {"fill"}} == {
        "affected_mask", "conditioning", "guidance", "lora", "prompt", "quality", "second_pass", "seed", "size",
        "steps", "compile", "negative_prompt", "candidates", "min_score", "retry",
    }  # fmt: skip
    assert {name for name, kinds in found.items() if not kinds} == {
        "tracker", "device", "accept_license", "weights", "models", "codec", "crf", "preset", "pix_fmt", "drop_streams",
        "bitrate", "encoder", "track_every", "threads", "sam2_engine", "memory", "gpu_memory", "download",
        "frozen",
    }  # fmt: skip


GRAPH_CHANGES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "point": ({"point": [POINT, (13, 33)]}, {"track", "background", "plate", "fill"}),
    "box": ({"box": (4, 24, 20, 40)}, {"track", "background", "plate", "fill"}),
    "not_point": ({"not_point": (80, 8)}, {"track", "background", "plate", "fill"}),
    "start": ({"start": 0, "end": 9}, {"track", "background", "plate", "fill"}),
    "end": ({"end": 0.2}, {"track", "background", "plate", "fill"}),
    "remover": ({"remover": "plate"}, set()),
    "affected_point": ({"affected_point": (60, 8)}, {"track", "fill", "background", "plate"}),
    "affected_box": ({"affected_box": (56, 4, 70, 16)}, {"track", "fill", "background", "plate"}),
}


@pytest.mark.parametrize("name", GRAPH_CHANGES)
def test_options_that_change_the_tasks(files: dict[str, str], name: str) -> None:
    options, kinds = GRAPH_CHANGES[name]
    before, after = planned(files), planned(files, **options)
    assert before.request != after.request
    assert changed_kinds(before, after) == kinds


def test_a_prompt_in_a_later_segment_leaves_the_earlier_ones(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "long.mkv", codec="ffv1", frames=130)
    before = planned({"clip.mkv": str(clip)})
    after = planned({"clip.mkv": str(clip)}, point=[POINT, f"@125:{POINT}"])
    keys = {t.id: t.key for t in before.tasks}
    same = [t.id for t in after.tasks_of("track") if keys.get(t.id) == t.key]
    assert [t.id for t in before.tasks_of("track")] == ["track-object-0000", "track-object-0001", "track-object-0002"]
    assert same == ["track-object-0000", "track-object-0001"]


def test_masks_of_the_users_own(files: dict[str, str]) -> None:
    before = planned(files, point=None, mask=files["masks"])
    assert {t.kind for t in before.tasks} == {"mask", "background", "plate", "fill"}
    for other in ({"mask": files["masks"], "invert_mask": True}, {"quadmask": files["masks"]}):
        assert changed_kinds(before, planned(files, point=None, **other)) == {"mask", "background", "plate", "fill"}
    changed = Path(files["masks"]) / "0003.png"
    cv2.imwrite(str(changed), np.zeros((64, 96), np.uint8))
    assert changed_kinds(before, planned(files, point=None, mask=files["masks"])) == {
        "mask",
        "background",
        "plate",
        "fill",
    }


def test_other_bytes_of_a_file_redo_what_reads_it(files: dict[str, str]) -> None:
    options = {"lora": files["mine.safetensors"], "effects": files["masks"], "reference": files["clean.png"]}
    before = planned(files, **options)
    Path(files["mine.safetensors"]).write_bytes(b"other")
    assert changed_kinds(before, planned(files, **options)) == {"fill"}
    before = planned(files, **options)
    cv2.imwrite(files["clean.png"], np.zeros((64, 96, 3), np.uint8))
    assert changed_kinds(before, planned(files, **options)) == {"plate", "fill"}
    before = planned(files, **options)
    cv2.imwrite(str(Path(files["masks"]) / "0003.png"), np.zeros((64, 96), np.uint8))
    assert changed_kinds(before, planned(files, **options)) == {"background", "plate", "fill"}


READ: set[str] = set()


class Watched(Request):
    """A request that notes which of its options are read."""

    def __getattribute__(self, name: str) -> Any:
        if name in OPTIONS:
            READ.add(name)
        return super().__getattribute__(name)


# Read by stages and in no key, with the reason.
NOT_IN_A_KEY = {
    "accept_license",  # what may be fetched, not what it is
    "download",  # the same
    "frozen",  # the same
}
IN_THE_GRAPH = {"mask", "quadmask"}  # which of them is given decides the kind of the tasks


def ancestors(plan: Plan, task: Task) -> set[str]:
    """Return the kinds of a task and of all that it needs."""
    by_id = {t.id: t for t in plan.tasks}
    return {task.kind}.union(*(ancestors(plan, by_id[n]) for n in task.needs))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"affected_mask": "masks", "size": "64x64", "reference": "clean.png"},
        {"point": None, "mask": "masks", "effects": "masks"},
        {"point": None, "quadmask": "masks"},
        {"static": True, "effects": "off"},
    ],
)
def test_a_stage_reads_only_what_it_lists(files: dict[str, str], tmp_path: Path, options: dict[str, Any]) -> None:
    plan = planned(files, **{k: files.get(v, v) if isinstance(v, str) else v for k, v in options.items()})
    plan = replace(plan, request=Watched(**{f.name: getattr(plan.request, f.name) for f in fields(Request)}))
    folder = WorkFolder(tmp_path / "w")
    folder.claim()
    for task in plan.tasks:
        READ.clear()
        result = STAGES[task.kind].run(plan, task, folder, silent)
        folder.finish(task.id, result.finish() if isinstance(result, Rest) else result, 0.0)
        known = {name for kind in ancestors(plan, task) for name in STAGES[kind].depends_on}
        assert known >= READ - NOT_IN_A_KEY - IN_THE_GRAPH, task.id
    assert all(folder.finished(t.id) for t in plan.tasks)


def quality(result: Frames, reference: Frames) -> float:
    """Return the peak signal-to-noise ratio of 8-bit components, in dB."""
    errors = [
        float(((x.astype(float) - y) ** 2).mean())
        for a, b in zip(result, reference, strict=True)
        for x, y in zip(a, b, strict=True)
    ]
    return float(10 * np.log10(255**2 / max(sum(errors) / len(errors), 1e-9)))


def test_only_the_render_is_redone_for_another_encoding(vremove: Vremove, tmp_path: Path) -> None:
    clip, work = write_clip(tmp_path / "clip.mkv", codec="ffv1", frames=30), tmp_path / "w"
    masks = write_masks(tmp_path / "masks", frames=30)

    def erased(name: str, *more: str) -> tuple[dict[str, Any], Frames]:
        output = tmp_path / f"{name}.mkv"
        done = vremove(
            "erase", clip, "--mask", masks, "--remover", "painter", "--keep-work", "--work", work, "-o", output,
            "--json", *more,
        )  # fmt: skip
        assert done.status == 0, done.stderr
        return json.loads(done.stdout), planes_of(output)

    first, lossless = erased("first")
    tasks = {p.stem: p.stat().st_mtime_ns for p in (work / "done").glob("*-*.json")}
    assert (first["done"], first["reused"]) == (len(tasks), 0)
    assert len(tasks) == 4
    variants = {
        "again": (), "cpu": ("--device", "cpu"), "same": ("--codec", "ffv1", "--pix-fmt", "yuv420p"),
        "fine": ("--codec", "h264", "--crf", "8"), "coarse": ("--codec", "h264", "--crf", "40", "--preset", "fast"),
        "deep": ("--codec", "h264", "--pix-fmt", "yuv444p", "--crf", "0"),
    }  # fmt: skip
    found = {}
    for name, more in variants.items():
        summary, found[name] = erased(name, *more)
        assert (summary["done"], summary["reused"]) == (0, len(tasks)), name
        assert {p.stem: p.stat().st_mtime_ns for p in (work / "done").glob("*-*.json")} == tasks
    for name in ("again", "cpu", "same"):
        assert quality(found[name], lossless) > 120, name  # not one sample differs
    assert quality(found["fine"], lossless) > 45
    assert 20 < quality(found["coarse"], lossless) < quality(found["fine"], lossless)
    assert quality([p[:1] for p in found["deep"]], [p[:1] for p in lossless]) > 50
    redone, _ = erased("feathered", "--feather", "5")
    assert (redone["done"], redone["reused"]) == (2, 2)
