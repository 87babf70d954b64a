"""Where one shot ends and the next begins."""

import av
import numpy as np
import pytest

from vremove_cli.media.shots import CutDetector

RNG = np.random.default_rng(3)
STREET = np.kron(RNG.integers(0, 255, (12, 36, 3)), np.ones((15, 15, 1))).astype(np.uint8)  # 540 x 180
OTHER = RNG.permutation(STREET.reshape(12, 15, 36, 15, 3).swapaxes(1, 2).reshape(-1, 15, 15, 3)).reshape(
    12, 36, 15, 15, 3
)
SAME_PALETTE = OTHER.swapaxes(1, 2).reshape(180, 540, 3)


def view(place: np.ndarray, t: int, speed: float = 2) -> np.ndarray:
    left = 20 + round(t * speed)
    return place[:, left : left + 320]


def cuts_of(pictures: list[np.ndarray]) -> tuple[int, ...]:
    detector = CutDetector()
    for picture in pictures:
        detector.add(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24"))
    return detector.cuts


@pytest.mark.parametrize(
    "change",
    [
        lambda p, t: p[:, ::-1], lambda p, t: np.roll(p, 150, axis=1), lambda p, t: view(SAME_PALETTE, t),
        lambda p, t: np.zeros_like(p) + 90,
    ],
    ids=["mirrored", "rolled", "same palette", "card"],
)  # fmt: skip
def test_a_cut_is_found(change: object) -> None:
    street = [view(STREET, t) for t in range(30)]
    assert callable(change)
    assert cuts_of(street[:13] + [change(p, t) for t, p in enumerate(street)][13:]) == (13,)


def test_a_cut_between_pictures_of_noise_is_found() -> None:
    first, second = RNG.normal(120, 40, (2, 180, 320, 3)).clip(0, 255).astype(np.uint8)
    assert cuts_of([first] * 9 + [second] * 9) == (9,)


def test_light_that_changes_is_no_cut() -> None:
    street = [view(STREET, t) for t in range(30)]
    assert cuts_of([p if t < 15 else (p * 0.4).astype(np.uint8) for t, p in enumerate(street)]) == ()
    assert cuts_of([p if t not in (9, 10) else 255 - p // 8 for t, p in enumerate(street)]) == ()


def test_a_shot_of_new_noise_in_every_frame_is_one_shot() -> None:
    assert cuts_of(list(RNG.integers(0, 255, (20, 180, 320, 3)).astype(np.uint8))) == ()


def test_a_fast_pan_is_no_cut() -> None:
    steps = np.cumsum([0, 1, 1, 2, 9, 22, 30, 30, 30, 22, 9, 3, 1, 1, 1])
    assert cuts_of([STREET[:, s : s + 320] for s in steps]) == ()
