"""Every measure finds the defect of its kind, and is best for the truth."""

from dataclasses import asdict
from functools import cache

import cv2
import numpy as np
import pytest

from support.erased import SIZE, Defect, mask, masks, scored, source, telea, truth, with_defect
from vremove_cli.quality.meter import Meter, Pictures
from vremove_cli.quality.reference import psnr, structural_similarity
from vremove_cli.quality.score import Score, overall_of

RATIOS = ("warp_error", "flicker", "sharpness", "grain", "seam")


@cache
def best() -> Score:
    return scored(truth(), clean=truth())


@cache
def of(defect: Defect) -> Score:
    return scored(with_defect(defect))


@cache
def untouched() -> Score:
    return scored(source())


@cache
def filled() -> Score:
    return scored(telea(source()), clean=truth())


def blurred(picture: np.ndarray, t: int) -> np.ndarray:
    return cv2.GaussianBlur(picture, (0, 0), 3)


def flickering(picture: np.ndarray, t: int) -> np.ndarray:
    return picture + (10 if t % 2 else -10)


def ghost(picture: np.ndarray, t: int) -> np.ndarray:
    soft = cv2.GaussianBlur(source()[t].astype(np.float32), (0, 0), 6)
    return 0.6 * picture + 0.4 * soft


def darker(picture: np.ndarray, t: int) -> np.ndarray:
    return picture - 25


def noisier(picture: np.ndarray, t: int) -> np.ndarray:
    return picture + np.random.default_rng(t).normal(0, 12, picture.shape)


def test_the_truth_is_at_the_optimum() -> None:
    assert best().still_there < 0.03
    assert best().background == pytest.approx(1, abs=0.05)
    assert {name: getattr(best(), name) for name in RATIOS} == pytest.approx(dict.fromkeys(RATIOS, 1.0), abs=0.25)
    assert best().overall > 85


def test_the_untouched_source_still_has_the_object() -> None:
    assert untouched().still_there == 1
    assert untouched().overall == 0
    assert (untouched().outside_equal, untouched().outside_kept) == (1, 1)


def test_a_still_object_that_looks_like_its_surroundings_is_still_there() -> None:
    clip = np.stack([truth()[0]] * 6)
    hole = np.stack([mask(3)] * 6)
    camouflaged = clip.copy()
    camouflaged[:, hole[0]] = np.roll(clip, 90, axis=2)[:, hole[0]]  # another piece of the same ground
    assert scored(camouflaged, clip=camouflaged, hole=hole).still_there == 1
    assert scored(clip, clip=camouflaged, hole=hole).still_there < 0.5


def test_a_blurred_ghost_is_noticed() -> None:
    left = of(ghost)
    assert 0.25 < left.still_there < 0.55
    assert left.overall < 0.75 * best().overall


def test_blur_lowers_sharpness_and_grain() -> None:
    soft = of(blurred)
    assert soft.sharpness < 0.5 * best().sharpness
    assert soft.grain < 0.5 * best().grain
    assert soft.overall < best().overall


def test_noise_raises_sharpness_and_grain() -> None:
    noisy = of(noisier)
    assert noisy.grain > 1.5
    assert noisy.sharpness > 1.5
    assert noisy.overall < best().overall


def test_flicker_is_found() -> None:
    found, steady = of(flickering), of(darker)
    assert found.flicker is not None
    assert found.flicker > 3
    assert found.warp_error is not None
    assert found.warp_error > 3
    assert steady.flicker is not None
    assert steady.flicker < 0.5 * found.flicker


def test_a_seam_is_found() -> None:
    found, without = of(darker).seam, best().seam
    assert found is not None
    assert without is not None
    assert found > 1.3 * without
    assert of(darker).overall < best().overall


def test_what_other_frames_show_is_missed() -> None:
    wrong = of(darker).background
    assert wrong is not None
    assert wrong < 0.1


def test_a_change_outside_is_found() -> None:
    changed = truth().copy()
    changed[:, :60] = np.clip(changed[:, :60].astype(int) + 40, 0, 255)
    found = scored(changed)
    assert found.outside_kept is not None
    assert found.outside_kept < 0.75
    assert found.outside_psnr is not None
    assert found.outside_psnr < 25
    assert found.overall < best().overall


def test_results_are_ranked_as_they_look() -> None:
    scores = [found.overall for found in (best(), of(blurred), filled(), untouched())]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == len(scores)


def test_scores_do_not_depend_on_the_run() -> None:
    assert asdict(scored(telea(source()), clean=truth())) == asdict(filled())


def test_a_picture_has_no_measures_in_time() -> None:
    one = scored(truth()[:1], clip=source()[:1], hole=masks()[:1])
    assert (one.warp_error, one.flicker, one.background) == (None, None, None)
    assert (one.frames, one.measured, one.background_known) == (1, 1, 0)
    assert one.overall > scored(source()[:1], clip=source()[:1], hole=masks()[:1]).overall


def test_the_truth_is_compared_with() -> None:
    same, other = best(), filled()
    assert same.psnr == pytest.approx(psnr(0))
    assert same.ssim == pytest.approx(1)
    assert other.psnr is not None
    assert other.psnr < 40
    assert other.ssim is not None
    assert other.ssim < 0.9
    assert same.lpips is None
    assert untouched().psnr is None


def test_ssim_is_that_of_the_paper() -> None:
    """For constant pictures only the luminance term counts: (2 a b + C1) / (a^2 + b^2 + C1)."""
    a, b = (np.full((32, 32), level, np.float32) for level in (100, 150))
    expected = (2 * 100 * 150 + 6.5025) / (100**2 + 150**2 + 6.5025)
    assert structural_similarity(a, b) == pytest.approx(expected, abs=1e-4)


def test_a_learnt_judge_is_asked_for_every_frame() -> None:
    answers = iter(np.linspace(0, 1, len(truth())))
    found = scored(truth(), success=lambda source, result, mask: float(next(answers)))
    assert found.success_median == pytest.approx(0.5)
    assert found.success_p10 == pytest.approx(0.1)
    assert best().success_median is None


def test_an_empty_mask_has_no_score() -> None:
    meter, nothing = Meter(), np.zeros(SIZE[::-1], bool)
    frames = (Pictures(f, f, nothing) for f in source()[:3])
    assert len(list(meter.add_shot(source()[:3], np.stack([nothing] * 3), frames))) == 3
    assert meter.score() is None


def test_the_overall_number_is_the_stated_rule() -> None:
    ideal: dict[str, float | None] = {
        "still_there": 0.0, "background": 1.0, "background_known": 1.0, "outside_kept": 1.0,
        **dict.fromkeys(RATIOS, 1.0),
    }  # fmt: skip
    assert overall_of(ideal) == 100
    assert overall_of({**ideal, "still_there": 1.0}) == 0
    assert overall_of({**ideal, "still_there": 0.5}) == 50
    assert overall_of({**ideal, "seam": 2.0}) == pytest.approx(100 * 0.5 ** (1 / 5))
    assert overall_of({**ideal, "seam": 0.5}) == pytest.approx(100 * 0.5 ** (1 / 5))
    assert overall_of({**ideal, "flicker": 2.0}) == pytest.approx(100 * 0.5 ** (1 / 10)), "half of its aspect"
    assert overall_of({**ideal, "background": 0.5, "background_known": 0.5}) == pytest.approx(100 * 0.5 ** (1 / 9))
    assert overall_of({**ideal, "background": None, "warp_error": None, "flicker": None}) == 100
