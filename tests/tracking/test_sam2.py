"""SAM 2.1 as a tracker: equal to the authors' code, bounded, stored and taken up again."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import EdgeTamVideoConfig, EdgeTamVisionConfig

from support.disc import iou
from support.sam2_engines import clicks_of
from support.twins import edgetam_model, golden, golden_frames, sam2_model
from vremove_cli.errors import ModelError
from vremove_cli.networks.arithmetic import Arithmetic
from vremove_cli.tracking.base import ObjectPrompts, TrackerFrame, TrackerState
from vremove_cli.tracking.sam2 import Sam2Tracker, in_precision, load_network
from vremove_cli.tracking.sam2_memory import MemoryBank

TENSORS, FACTS = golden("sam2_tiny")
FRAMES = golden_frames()


@pytest.fixture(scope="module")
def model() -> Any:
    return sam2_model()


def sight(t: int) -> TrackerFrame:
    return TrackerFrame(t, FRAMES[t], (128, 128), (32, 32))


def follow(
    tracker: Sam2Tracker, prompts: list[dict[str, Any]], order: range, *, stored: bool = False
) -> dict[int, Any]:
    """Mask logits and object score of each frame, prompts given as they come."""
    given = {p["frame"]: clicks_of(p) for p in prompts}
    state: TrackerState | None = None
    out = {}
    for t in order:
        if state is None:
            state, _ = tracker.begin(sight(t), given[t])
        elif t in given:
            state, _ = tracker.correct(sight(t), state, given[t])
        else:
            state, _ = tracker.propagate(sight(t), state)
        assert isinstance(state, MemoryBank)
        last = state.memories[-1].outputs
        out[t] = (last["pred_masks"].float().reshape(32, 32), float(last["object_score_logits"]))
        if stored:
            state = TrackerState(state.arrays)
    return out


def difference(found: dict[int, Any], name: str, frames: range, *, one: int | None = None) -> float:
    """The largest difference of logits and scores from the golden ones."""
    masks, scores = TENSORS[f"{name}/masks"], TENSORS[f"{name}/scores"]
    if one is not None:
        masks, scores = masks[one], scores[one]
    worst = max(float((found[t][0] - masks[k]).abs().max()) for k, t in enumerate(frames))
    return max(worst, *(abs(found[t][1] - float(scores[k])) for k, t in enumerate(frames)))


def test_a_click_keeps_its_place_in_half_precision() -> None:
    exact, half = sam2_model(), in_precision(sam2_model(), torch.bfloat16)
    plain = sam2_model().to(torch.bfloat16)
    points = torch.tensor([[[[100.3, 27.8]]]])

    def encoded(model: Any, dtype: torch.dtype) -> torch.Tensor:
        with torch.inference_mode():
            return model.prompt_encoder.shared_embedding(points.to(dtype), (128, 128))

    right = encoded(exact, torch.float32)
    assert encoded(half, torch.float32).dtype == torch.bfloat16
    error, usual = (
        float((e.float() - right).abs().max()) for e in (encoded(half, torch.float32), encoded(plain, half.dtype))
    )
    assert error <= 2**-8 < usual
    assert half.dtype == torch.bfloat16
    tracker = Sam2Tracker(half, 20)
    state, first = tracker.begin(sight(0), ObjectPrompts(((40.0, 40.0),)))
    _, second = tracker.propagate(sight(1), state)
    assert np.isfinite(first.mask).all()
    assert np.isfinite(second.mask).all()


def test_a_second_click_on_a_picture_does_not_encode_it_again(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []
    encode = model.get_image_features

    def counted(*arguments: Any, **options: Any) -> Any:
        encoded.append(1)
        return encode(*arguments, **options)

    monkeypatch.setattr(model, "get_image_features", counted)
    tracker, frame = Sam2Tracker(model, 20), sight(0)
    near, far = ObjectPrompts(((40.0, 40.0),)), ObjectPrompts(((90.0, 90.0),))
    tracker.begin(frame, near)
    _, second = tracker.begin(frame, far)
    assert len(encoded) == 1
    _, alone = Sam2Tracker(model, 20).begin(sight(0), far)
    assert np.array_equal(second.mask, alone.mask)
    tracker.begin(sight(1), near)
    assert len(encoded) == 3


@pytest.mark.parametrize("name", ["forward", "box", "corrected"])
def test_logits_equal_the_authors_code(model: Any, name: str) -> None:
    found = follow(Sam2Tracker(model, 20), FACTS["prompts"][name], range(20))
    assert difference(found, name, range(20)) < FACTS["tolerance"]


def test_a_prompt_in_the_middle_works_backwards_and_forwards(model: Any) -> None:
    tracker, prompts = Sam2Tracker(model, 20), FACTS["prompts"]["middle"]
    back = follow(tracker, prompts, range(12, -1, -1))
    ahead = follow(tracker, prompts, range(12, 20))
    assert difference(back, "middle_reverse", range(13)) < FACTS["tolerance"]
    assert difference(ahead, "middle_forward", range(12, 20)) < FACTS["tolerance"]


@pytest.mark.parametrize("one", [0, 1])
def test_objects_followed_apart_equal_those_followed_together(model: Any, one: int) -> None:
    found = follow(Sam2Tracker(model, 20), [FACTS["prompts"]["two"][one]], range(20))
    assert difference(found, "two", range(20), one=one) < FACTS["tolerance"]


def test_a_clip_of_few_frames_is_told_to_the_network(model: Any) -> None:
    found = follow(Sam2Tracker(model, 6), FACTS["prompts"]["short"], range(6))
    assert difference(found, "short", range(6)) < FACTS["tolerance"]


def test_a_correction_in_a_clip_of_few_frames_is_told_so_too(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told, run = [], model._run_single_frame_inference

    def noted(*args: Any, **kwargs: Any) -> Any:
        told.append(model.config.max_object_pointers_in_encoder)
        return run(*args, **kwargs)

    monkeypatch.setattr(model, "_run_single_frame_inference", noted)
    tracker = Sam2Tracker(model, 6)
    state, _ = tracker.begin(sight(0), ObjectPrompts(((30, 40),)))
    tracker.correct(sight(1), state, ObjectPrompts(((40, 50),)))
    assert told == [6, 6, 6]


def test_a_stored_memory_goes_on_as_if_it_had_not_been_stored(model: Any) -> None:
    tracker = Sam2Tracker(model, 20)
    plain = follow(tracker, FACTS["prompts"]["corrected"], range(20))
    stored = follow(tracker, FACTS["prompts"]["corrected"], range(20), stored=True)
    assert all(torch.equal(plain[t][0], stored[t][0]) for t in plain)


def test_memory_holds_no_more_than_the_network_looks_at(model: Any) -> None:
    tracker, sizes = Sam2Tracker(model, 200), []
    state, _ = tracker.begin(sight(0), ObjectPrompts(((30, 40),)))
    for t in range(1, 60):
        shown = TrackerFrame(t, FRAMES[t % 20], (128, 128), (32, 32))
        state, _ = tracker.propagate(shown, state)
        sizes.append(sum(a.nbytes for a in state.arrays.values()))
    assert sizes[-1] == sizes[20]
    assert len(state.memories) <= 16  # type: ignore[attr-defined]


def test_on_keyframes_time_runs_in_keyframes(model: Any) -> None:
    dense, sparse = Sam2Tracker(model, 20), Sam2Tracker(model, 20, every=10)
    one, _ = dense.begin(sight(0), ObjectPrompts(((30, 40),)))
    other, _ = sparse.begin(sight(0), ObjectPrompts(((30, 40),)))
    for t in range(1, 12):
        one, near = dense.propagate(sight(t), one)
        far = TrackerFrame(10 * t, FRAMES[t], (128, 128), (32, 32))
        other, tracked = sparse.propagate(far, other)
        assert np.array_equal(near.mask, tracked.mask)


def test_a_given_mask_is_remembered_as_a_prompted_frame_is(model: Any) -> None:
    tracker = Sam2Tracker(model, 20)
    given = np.zeros((32, 32), np.float32)
    given[8:20, 6:18] = 1
    state = tracker.adopt(sight(3), None, given)
    _, kept = tracker.propagate(sight(3), state)
    assert np.array_equal(kept.mask > 0.5, given > 0.5)
    later, _ = tracker.propagate(sight(4), state)
    changed = tracker.adopt(sight(5), later, given)
    assert [(m.index, m.prompted) for m in changed.memories] == [(3, True), (4, False), (5, True)]  # type: ignore[attr-defined]


def test_the_way_back_over_a_prompted_frame_keeps_its_mask(model: Any) -> None:
    tracker = Sam2Tracker(model, 20)
    state, first = tracker.begin(sight(3), ObjectPrompts(((30, 40),)))
    for t in (4, 5):
        state, _ = tracker.propagate(sight(t), state)
    for t in (4, 3):
        state, tracked = tracker.propagate(sight(t), state)
    assert np.array_equal(tracked.mask, first.mask)


def test_a_way_back_on_other_keyframes_forgets_what_it_was_turned_against(model: Any) -> None:
    tracker = Sam2Tracker(model, 20)
    state, _ = tracker.begin(sight(0), ObjectPrompts(((30, 40),)))
    for t in (5, 10, 15):
        state, _ = tracker.propagate(sight(t), state)
    state, _ = tracker.correct(sight(17), state, ObjectPrompts(((40, 50),)))
    for t in (12, 8):  # of frame 10 only the pointer is left by then
        state, _ = tracker.propagate(sight(t), state)
    assert [m.index for m in state.memories] == [0, 17, 12, 8]  # type: ignore[attr-defined]


def test_several_boxes_are_one_object(model: Any) -> None:
    tracker = Sam2Tracker(model, 20)
    boxes = ((14.0, 24.0, 46.0, 56.0), (84.0, 80.0, 108.0, 104.0))
    each = [tracker.begin(sight(0), ObjectPrompts(boxes=(b,)))[1].mask > 0.5 for b in boxes]
    both = tracker.begin(sight(0), ObjectPrompts(boxes=boxes))[1].mask > 0.5
    assert np.mean(both == (each[0] | each[1])) > 0.95


def test_bfloat16_runs_to_the_end(model: Any) -> None:
    import copy

    half = copy.deepcopy(model).to(torch.bfloat16)
    prompts = FACTS["prompts"]["corrected"]
    found = follow(Sam2Tracker(half, 20), prompts, range(20), stored=True)
    exact = follow(Sam2Tracker(model, 20), prompts, range(20))
    assert list(found) == list(range(20))
    for t, (mask, score) in found.items():
        assert abs(score - exact[t][1]) < 0.2
        if t not in [p["frame"] for p in prompts]:  # there the network picks one of three masks, nearly equal in score
            assert (mask - exact[t][0]).abs().mean() < 0.1 * exact[t][0].std()
            assert iou(mask.numpy() > 0, exact[t][0].numpy() > 0) > 0.97


def test_a_memory_stored_on_a_gpu_goes_on_without_one(model: Any) -> None:
    import copy

    state, _ = Sam2Tracker(copy.deepcopy(model).to(torch.bfloat16), 20).begin(sight(0), ObjectPrompts(((30, 40),)))
    after, tracked = Sam2Tracker(model, 20).propagate(sight(1), TrackerState(state.arrays))
    assert tracked.mask.any()
    one, two = ({n: t.dtype for n, t in m.outputs.items()} for m in after.memories)  # type: ignore[attr-defined]
    assert one == two


def test_edgetam_is_followed_corrected_and_stored_alike() -> None:
    tracker, prompts = Sam2Tracker(edgetam_model(), 20), FACTS["prompts"]["corrected"]
    plain = follow(tracker, prompts, range(20))
    stored = follow(tracker, prompts, range(20), stored=True)
    assert tracker.name == "edgetam"
    assert all(torch.equal(plain[t][0], stored[t][0]) for t in plain)
    assert not torch.equal(plain[7][0], plain[8][0])


@pytest.mark.skipif(find_spec("timm") is not None, reason="the package is here")
def test_a_package_that_the_weights_need_is_named(tmp_path: Path) -> None:
    EdgeTamVideoConfig(vision_config=EdgeTamVisionConfig()).save_pretrained(tmp_path)
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"needs a package that is not installed .*timm"):
        load_network("edgetam", str(tmp_path), Arithmetic())
