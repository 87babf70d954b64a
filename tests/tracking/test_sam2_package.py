"""SAM 2 by the authors' package: refused, planned; and, where the package is, equal to the authors' sessions."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from support.clips import write_clip, write_masks
from support.command import Vremove
from support.disc import iou
from support.refusals import POINT, assert_refused
from support.sam2_engines import MASK, SIDE, follow, write_config, write_fine_tune
from support.twins import golden, golden_frames, golden_weights, sam2_model
from vremove_cli.errors import ModelError, UsageError
from vremove_cli.job.events import silent
from vremove_cli.job.output_paths import make_request
from vremove_cli.job.plan import Plan, digests_of_weights
from vremove_cli.job.planner import make_plan
from vremove_cli.networks import sam2_package
from vremove_cli.networks.arithmetic import Arithmetic
from vremove_cli.networks.sam2 import original_state, sam2_state, size_of
from vremove_cli.networks.sam2_package import files_in, load_predictor
from vremove_cli.tracking.base import ObjectPrompts, TrackerFrame
from vremove_cli.tracking.registry import TrackerChoice, make_tracker, with_engine
from vremove_cli.tracking.sam2 import Sam2Tracker
from vremove_cli.tracking.sam2_package import Sam2PackageTracker
from vremove_cli.weights.catalogue import catalogue
from vremove_cli.weights.store import Checkpoint

HERE = find_spec("sam2") is not None
with_package = pytest.mark.skipif(
    not HERE, reason="the sam2 package is not here: tests/benchmarks/sam2_engines.py runs these with it"
)
TENSORS, FACTS = golden("sam2_tiny")
SCENARIOS = {
    "forward": ("forward", range(20), 20),
    "box": ("box", range(20), 20),
    "middle_reverse": ("middle", range(12, -1, -1), 20),
    "middle_forward": ("middle", range(12, 20), 20),
    "corrected": ("corrected", range(20), 20),
    "short": ("short", range(6), 6),
}  # golden result: prompts, frames in the order of travel, frames of the clip


@pytest.fixture(scope="module")
def fine_tune(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fine_tune(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def predictor(fine_tune: Path) -> Any:
    return load_predictor(str(fine_tune), "cpu")


@pytest.fixture
def as_if_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans are made as if the package were installed."""
    monkeypatch.setattr(sam2_package, "check_installed", lambda: None)


Planned = Callable[..., Plan]


@pytest.fixture
def planned(as_if_here: None, tmp_path: Path, fine_tune: Path) -> Planned:
    clip = write_clip(tmp_path / "clip.mp4")

    def make(**options: Any) -> Plan:
        given = {"point": (10, 32), "tracker": "sam2-tiny", "weights": f"sam2-tiny={fine_tune}", **options}
        return make_plan(make_request(str(clip), None, {k: v for k, v in given.items() if v is not None}), silent)

    return make


def choice(name: str, **of_choice: Any) -> TrackerChoice:
    return TrackerChoice(name, "as asked", checkpoint=Checkpoint(catalogue()[name], "somewhere"), **of_choice)


# What is refused.


@pytest.mark.skipif(HERE, reason="the package is here")
def test_a_missing_package_is_refused_with_the_line_that_installs_it(vremove: Vremove, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    says = "--sam2-engine sam2 needs the sam2 package, which is not installed here: install it with `pip install 'vremo"
    for name in ("mask", "erase"):
        assert_refused(vremove, tmp_path, 6, says, name, clip, *POINT, "--sam2-engine", "sam2", "-o", "out.mkv")


@pytest.mark.skipif(HERE, reason="the package is here")
def test_a_plan_of_another_machine_is_refused_so_too(fine_tune: Path) -> None:
    planned_there = TrackerChoice(
        "sam2-tiny", "as asked", 1, Checkpoint(catalogue()["sam2-tiny"], str(fine_tune)), engine="sam2"
    )
    with pytest.raises(ModelError, match="needs the sam2 package"):
        make_tracker(planned_there, Arithmetic(), 10)


def test_an_engine_that_is_unknown_is_refused(vremove: Vremove, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    assert_refused(
        vremove, tmp_path, 2, "--sam2-engine jax", "mask", clip, *POINT, "--sam2-engine", "jax", "-o", "m.mkv"
    )


@pytest.mark.parametrize("name", ["flow", "edgetam", "mine", "file"])
def test_it_has_no_effect_on_other_trackers_and_is_refused(name: str) -> None:
    given = choice(name) if name == "edgetam" else TrackerChoice(name, "as asked")
    with pytest.raises(UsageError, match="--sam2-engine sam2") as refusal:
        with_engine(given, "sam2")
    assert (
        "use one or the other" in str(refusal.value) if name == "file" else "add --tracker sam2" in str(refusal.value)
    )
    assert with_engine(given, "transformers") is given


def test_what_needs_no_network_is_refused_before_any_work(as_if_here: None, tmp_path: Path) -> None:
    clip, masks = write_clip(tmp_path / "clip.mp4"), write_masks(tmp_path / "masks")
    for options, says in (
        ({"mask": masks}, "tracks, and a mask was given"),
        ({"box": (4, 24, 20, 40), "static": True}, "this one is flow"),
        ({"point": (10, 32)}, "this one is flow .no weights are here"),
    ):
        request = make_request(str(clip), None, {"sam2_engine": "sam2", **options})
        with pytest.raises(UsageError, match=says):
            make_plan(request, silent)


# What is planned.


def test_the_engine_is_part_of_the_plan_and_of_the_keys_of_masks(planned: Planned) -> None:
    one, other = planned(), planned(sam2_engine="sam2")
    assert (one.tracker.engine, other.tracker.engine) == ("transformers", "sam2")
    assert "; by the sam2 package" in next(note for note in other.notes if note.startswith("tracker: "))
    keys = {t.id: t.key for t in one.tasks}
    changed = {t.kind for t in other.tasks if keys[t.id] != t.key}
    assert "track" in changed
    assert Plan.load(saved(other)).tracker == other.tracker


def saved(plan: Plan) -> Path:
    path = Path(plan.request.input).with_name("plan.json")
    plan.save(path)
    return path


def test_another_configuration_beside_the_weights_makes_other_masks(planned: Planned, fine_tune: Path) -> None:
    before, by_transformers = planned(sam2_engine="sam2"), planned()
    config = fine_tune.with_suffix(".yaml")
    text = config.read_text()
    try:
        config.write_text(text + "\n# another\n")
        after = planned(sam2_engine="sam2")
        assert before.weights != after.weights
        assert [t.key for t in before.tasks] != [t.key for t in after.tasks]
        assert digests_of_weights(by_transformers.request) == by_transformers.weights, "it does not read the YAML"
    finally:
        config.write_text(text)


# Which files count.


@pytest.mark.parametrize(
    ("names", "given", "weights", "config"),
    [
        (("a.pt",), "a.pt", "a.pt", None),
        (("a.pt", "a.yaml", "b.yaml"), "a.pt", "a.pt", "a.yaml"),
        (("a.safetensors", "a.yml"), "a.safetensors", "a.safetensors", "a.yml"),
        (("a.pt", "b.yaml"), "", "a.pt", "b.yaml"),
        (("a.pt", "b.pt", "b.yaml"), "", "b.pt", "b.yaml"),
        (("tiny.pt", "t.yaml", "model.safetensors", "config.json"), "", "tiny.pt", "t.yaml"),
        (("model.safetensors", "config.json"), "", "model.safetensors", None),
    ],
)
def test_weights_and_their_configuration_are_found(
    tmp_path: Path, names: tuple[str, ...], given: str, weights: str, config: str | None
) -> None:
    for name in names:
        (tmp_path / name).touch()
    found = files_in(str(tmp_path / given))
    assert (found.weights.name, found.config and found.config.name) == (weights, config)


@pytest.mark.parametrize(
    ("names", "says"),
    [((), "holds 0 checkpoints"), (("a.pt", "b.pt"), "holds 2 checkpoints"), (("a.pt", "a.yaml", "b.yaml"), "2 YAML")],
)
def test_a_folder_that_leaves_it_open_is_refused(tmp_path: Path, names: tuple[str, ...], says: str) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(ModelError, match=says):
        files_in(str(tmp_path))


def test_transformers_names_lead_back_to_the_original_ones() -> None:
    weights = golden_weights(TENSORS)
    renamed = sam2_state(weights)
    back = original_state({**renamed, "more": torch.zeros(1)}, weights)
    assert back.keys() == {*weights, "more"}
    assert all(torch.equal(back[name], tensor) for name, tensor in weights.items())
    other = dict.fromkeys(["prompt_encoder.shared_embedding.positional_embedding"], torch.zeros(2, 16))
    assert original_state({**renamed, **other}, weights).keys() == {*weights, *other}, "which the authors' code lacks"
    assert size_of(weights) == size_of(renamed) == (8, 5)


# What runs where the package is.


@with_package
@pytest.mark.parametrize("name", SCENARIOS)
def test_masks_equal_those_of_the_authors_sessions(predictor: Any, name: str) -> None:
    prompts, order, frames = SCENARIOS[name]
    found = follow(Sam2PackageTracker(predictor, frames), FACTS["prompts"][prompts], order)
    for k, t in enumerate(sorted(order)):
        assert np.abs(found[t][0] - TENSORS[f"{name}/masks"][k].numpy()).max() < FACTS["tolerance"]
        assert abs(found[t][1] - float(TENSORS[f"{name}/scores"][k])) < FACTS["tolerance"]


@with_package
def test_the_other_engine_goes_on_from_the_same_kind_of_state(predictor: Any) -> None:
    frames = golden_frames()
    sights = [TrackerFrame(t, frames[t], (SIDE, SIDE), (MASK, MASK)) for t in range(3)]
    given = np.zeros((MASK, MASK), np.float32)
    given[8:20, 6:18] = 1
    masks = []
    for tracker in (Sam2PackageTracker(predictor, 20), Sam2Tracker(sam2_model(), 20)):
        state = tracker.adopt(sights[0], None, given)
        _, kept = tracker.propagate(sights[0], state)
        assert np.array_equal(kept.mask > 0.5, given > 0.5)
        _, tracked = tracker.correct(sights[1], state, ObjectPrompts(boxes=((14, 24, 46, 56), (84, 80, 108, 104))))
        masks.append(tracked.mask > 0.5)
    assert iou(*masks) > 0.99


@with_package
def test_a_stored_memory_goes_on_as_if_it_had_not_been_stored(predictor: Any) -> None:
    prompts = FACTS["prompts"]["corrected"]
    plain = follow(Sam2PackageTracker(predictor, 20), prompts, range(20))
    stored = follow(Sam2PackageTracker(predictor, 20), prompts, range(20), stored=True)
    assert all(np.array_equal(plain[t][0], stored[t][0]) for t in plain)


@with_package
def test_memory_holds_what_a_stride_looks_back_at_and_no_more(predictor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictor, "memory_temporal_stride_for_eval", 3)
    tracker, frames = Sam2PackageTracker(predictor, 200), golden_frames()
    state, _ = tracker.begin(TrackerFrame(0, frames[0], (SIDE, SIDE), (MASK, MASK)), ObjectPrompts(((30, 40),)))
    sizes = []
    for t in range(1, 50):
        state, _ = tracker.propagate(TrackerFrame(t, frames[t % 20], (SIDE, SIDE), (MASK, MASK)), state)
        sizes.append(sum(array.nbytes for array in state.arrays.values()))
    assert sizes[-1] == sizes[30]


@with_package
def test_a_training_configuration_serves_as_well(fine_tune: Path, tmp_path: Path) -> None:
    trained = {**FACTS["model"], "_target_": "training.model.sam2.SAM2Train", "prob_to_use_pt_input_for_train": 0.5}
    (tmp_path / "a.pt").write_bytes(fine_tune.read_bytes())
    write_config(tmp_path / "a.yaml", trained, training=True)
    tracker = Sam2PackageTracker(load_predictor(str(tmp_path / "a.pt"), "cpu"), 20)
    found = follow(tracker, FACTS["prompts"]["forward"], range(3))
    assert all(np.abs(found[t][0] - TENSORS["forward/masks"][t].numpy()).max() < FACTS["tolerance"] for t in found)


@with_package
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"image_encoder": {"_target_": "os.system", "command": "true"}}, "os.system is not of the sam2 package"),
        ({"image_encoder": {"_target_": "sam2.build_sam.os.system", "command": "true"}}, "does not make a SAM 2"),
        ({"image_encoder": {"_target_": "torch.hub.load", "repo": "x"}}, "torch.hub.load is no network"),
        ({"unheard_of": 3}, "unheard_of"),
        ({"num_maskmem": 3}, "maskmem_tpos_enc is .* and not"),
    ],
)
def test_a_wrong_configuration_is_refused_in_one_sentence(
    fine_tune: Path, tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    (tmp_path / "a.pt").write_bytes(fine_tune.read_bytes())
    write_config(tmp_path / "a.yaml", {**FACTS["model"], **changes})
    with pytest.raises(ModelError, match=says):
        load_predictor(str(tmp_path / "a.pt"), "cpu")


@with_package
@pytest.mark.parametrize("text", ["- 1", "model: 3", "a: [", "model: ${gone}"])
def test_a_file_that_is_no_configuration_is_refused(fine_tune: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "a.pt").write_bytes(fine_tune.read_bytes())
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ModelError, match="is no configuration of SAM 2"):
        load_predictor(str(tmp_path / "a.pt"), "cpu")


@with_package
def test_an_odd_size_needs_its_configuration(tmp_path: Path) -> None:
    save_file(golden_weights(TENSORS), tmp_path / "a.safetensors")
    with pytest.raises(ModelError, match=r"width 8, 5 blocks.*put its configuration beside it"):
        load_predictor(str(tmp_path / "a.safetensors"), "cpu")


@with_package
@pytest.mark.slow
@pytest.mark.parametrize("version", ["sam2", "sam2.1"])
def test_a_checkpoint_of_a_known_size_needs_none_of_either_version(tmp_path: Path, version: str) -> None:
    import sam2

    config = Path(sam2.__path__[0]) / "configs" / version / f"{version}_hiera_t.yaml"
    made = sam2_package._make_predictor(sam2_package._model_table(config), config)
    torch.save({"model": made.state_dict()}, tmp_path / "a.pt")
    assert load_predictor(str(tmp_path / "a.pt"), "cpu").state_dict().keys() == made.state_dict().keys()


@with_package
@pytest.mark.slow
def test_the_real_command_follows_with_it(vremove: Vremove, tmp_path: Path, fine_tune: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    done = vremove(
        "mask", clip, *POINT, "--tracker", "sam2-tiny", "--weights", f"sam2-tiny={fine_tune}", "--device", "cpu",
        "--sam2-engine", "sam2", "--track-every", 3, "-o", tmp_path / "mask.mkv",
    )  # fmt: skip
    assert done.status in (0, 4), done.stderr  # random weights may find nothing
    assert "by the sam2 package" in done.stderr
