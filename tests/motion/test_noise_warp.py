"""Noise carried along flow: Gaussian and white whatever the flow does, and equal to its definition."""

import cv2
import numpy as np
import pytest
import torch

from support.noise_warp_definition import plainly
from vremove_cli.geometry import Array
from vremove_cli.motion.noise_warp import Canvas, warp_noise, warped_noise_frames
from vremove_cli.removers.void.warped_noise import downsample_noise, warped_noise

SIDE = 160
YS, XS = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
CENTRED = np.stack([XS, YS]) - SIDE / 2
FLOWS = {
    "zero": np.zeros((2, SIDE, SIDE), np.float32),
    "translating": np.stack([np.full((SIDE, SIDE), 3.3), np.full((SIDE, SIDE), -1.8)]),
    "expanding": 0.12 * CENTRED,
    "shrinking": -0.12 * CENTRED,
    "discontinuous": np.where(XS < SIDE / 2, -5.0, 7.0) * np.array([1.0, 0.3])[:, None, None],
    "turning": 0.1 * np.stack([-CENTRED[1], CENTRED[0]]),
}


def last(flow: Array, steps: int = 6) -> Array:
    """The noise (C, H, W) after some steps of one flow."""
    return carried(flow, steps, channels=6, seed=1)[-1]


def carried(flow: Array, steps: int, channels: int, seed: int) -> list[Array]:
    """The noise (C, H, W) of each frame."""
    flows = iter([flow.astype(np.float32)] * steps)
    return [n.numpy() for n in warped_noise_frames(flows, channels, (SIDE, SIDE), seed, "cpu")]


def correlation(a: Array, b: Array) -> float:
    return float((a * b).mean() / (a.std() * b.std()))


@pytest.mark.parametrize("kind", FLOWS)
def test_noise_keeps_its_mean_and_unit_variance(kind: str) -> None:
    noise = last(FLOWS[kind])
    assert abs(noise.mean()) < 0.02
    assert abs(noise.var() - 1) < 0.04


@pytest.mark.parametrize("kind", FLOWS)
def test_neighbours_do_not_know_of_each_other(kind: str) -> None:
    noise = last(FLOWS[kind])
    assert abs(correlation(noise[:, :, 1:], noise[:, :, :-1])) < 0.03
    assert abs(correlation(noise[:, 1:], noise[:, :-1])) < 0.03
    assert abs(correlation(noise[:-1], noise[1:])) < 0.03


@pytest.mark.parametrize("kind", FLOWS)
def test_made_smaller_it_is_unit_noise_still(kind: str) -> None:
    small = downsample_noise(torch.from_numpy(last(FLOWS[kind])), 8).numpy()
    assert abs(small.var() - 1) < 0.15
    assert abs(correlation(small[:, :, 1:], small[:, :, :-1])) < 0.1


def test_whole_steps_carry_noise_as_it_is() -> None:
    flow = np.stack([np.full((SIDE, SIDE), 4.0), np.full((SIDE, SIDE), 2.0)]).astype(np.float32)
    first, second = carried(flow, 1, channels=3, seed=2)
    same = np.isclose(second[:, 2:-2, 4:-4], first[:, :-4, :-8], atol=1e-6)
    assert same.mean() > 0.99  # a few values are drawn twice, and count as copies


def test_without_motion_nothing_changes() -> None:
    first, *_, final = carried(FLOWS["zero"], 5, channels=3, seed=3)
    assert np.isclose(first, final, atol=1e-6).mean() > 0.99


@pytest.mark.parametrize("kind", FLOWS)
def test_it_equals_its_definition(kind: str) -> None:
    side, rng = 14, np.random.default_rng(5)
    middle = slice(SIDE // 2 - side // 2, SIDE // 2 + side // 2)
    steps = FLOWS[kind][:, middle, middle] * 4 + rng.uniform(-0.3, 0.3, (2, side, side))
    flow = torch.from_numpy(steps.astype(np.float32))
    one = other = Canvas(torch.from_numpy(rng.standard_normal((3, side, side), np.float32)), torch.ones(side, side))
    for _ in range(3):
        fresh = torch.from_numpy(rng.standard_normal((3, side, 2 * side), np.float32))
        one, other = warp_noise(one, flow, fresh), plainly(other, flow, fresh)
        assert np.allclose(one.noise, other.noise, atol=1e-6)
        assert np.allclose(one.weight, other.weight, atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
def test_a_gpu_gives_the_same_noise_each_time() -> None:
    flow = torch.from_numpy(FLOWS["shrinking"].astype(np.float32))
    runs = [list(warped_noise_frames(iter([flow.numpy()] * 4), 6, (SIDE, SIDE), 4, d)) for d in ("cuda", "cuda", "cpu")]
    one, again, on_the_cpu = (torch.stack(run).cpu() for run in runs)
    assert torch.equal(one, again)
    assert torch.isclose(one, on_the_cpu, atol=1e-5).float().mean() > 0.999


@pytest.mark.parametrize("kind", ["to one pixel", "out of the frame"])
def test_many_at_one_place_are_summed_exactly(kind: str) -> None:
    side, rng = 64, np.random.default_rng(6)
    xs, ys = XS[:side, :side], YS[:side, :side]
    steps = np.stack([40 - xs, 20 - ys]) if kind == "to one pixel" else np.full((2, side, side), 1e4)
    flow = torch.from_numpy(steps.astype(np.float32))
    fresh = torch.from_numpy(rng.standard_normal((3, side, 2 * side), np.float32))
    noise = torch.from_numpy(rng.standard_normal((3, side, side), np.float32))
    weight = torch.from_numpy(rng.uniform(0.1, 1, (side, side)).astype(np.float32))
    found = warp_noise(Canvas(noise, weight), flow, fresh)
    exact = plainly(Canvas(noise.double(), weight.double()), flow, fresh.double())
    assert np.allclose(found.noise, exact.noise, atol=2e-6)
    assert np.allclose(found.weight, exact.weight, rtol=2e-6)


def test_the_second_pass_begins_with_white_noise_that_moves() -> None:
    coarse = np.random.default_rng(0).uniform(0, 255, (12, 40, 3)).astype(np.float32)
    ground = np.clip(cv2.resize(coarse, (400, 96), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)
    frames = np.stack([ground[:, 8 * t : 8 * t + 160] for t in range(9)])
    noise = warped_noise(frames, 16, 8, seed=1, device="cpu")
    assert noise.shape == (3, 16, 12, 20)
    assert abs(noise.var() - 1) < 0.1
    assert correlation(noise[2, :, 2:-2, 2:-6], noise[1, :, 2:-2, 6:-2]) > 0.5  # four frames of 8 pixels: 4 to the left
