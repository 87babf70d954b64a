"""How well cuts are found: recall and precision by kind of clip, beside PySceneDetect's detectors.

    python tests/benchmarks/cuts.py [--seeds 1 3 5 7 9] [--kinds mirrored flash ...] [--speed]

Clips are drawn: places with buildings, plants and a pattern of their own, a camera, passers-by, grain. One kind a line:
  cut        the hard cuts of that kind that were found on the right frame, of all
  false      frames that were called a cut and are none
Dissolves have no cut; what was found in them is counted on a line of its own, and in no sum.

`content` and `adaptive` are ContentDetector (threshold 27) and AdaptiveDetector of PySceneDetect 0.7 with their default
values (https://www.scenedetect.com/docs/latest/api/detectors.html). Their formulas are repeated here, because the
package brings another build of OpenCV: the mean of the absolute differences of hue, saturation and value between
frames of 256 pixels' width; for the second, its ratio to the mean of two frames before and two after.
Even seeds were used while the finder was made; the odd ones were not. `--speed` prints milliseconds a frame at 640x360.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from vremove_cli.media.shots import CutDetector

SIZE = (384, 216)  # pixels of a drawn frame
FRAMES = 54
CONTENT, ADAPTIVE, LEAST_CONTENT, WINDOW, SHORTEST = 27.0, 3.0, 15.0, 2, 15  # PySceneDetect's default values
ODD = (1, 3, 5, 7, 9, 11)

Rng = np.random.Generator
Clip = tuple[list[np.ndarray], list[int]]


@dataclass
class Camera:
    """A walk over a place: pixels a frame, and how far it shakes."""

    x: float
    y: float
    dx: float
    dy: float
    shake: float
    zoom: float = 1.0
    dzoom: float = 1.0


def palette(rng: Rng) -> np.ndarray:
    base = rng.uniform(20, 235, (1, 3))
    return np.clip(base + rng.normal(0, 45, (8, 3)), 5, 250)


def place(rng: Rng, colours: np.ndarray, contrast: float = 1.0) -> np.ndarray:
    """A panorama three frames wide: ground and sky, blocks with windows, leaves."""
    width, height = SIZE[0] * 3, int(SIZE[1] * 1.6)
    coarse = rng.normal(0, 1, (max(2, height // 40), width // 40, 3)).astype(np.float32)
    out = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) * 12
    horizon = int(height * rng.uniform(0.35, 0.6))
    out[:horizon] += colours[0]
    out[horizon:] += colours[1]
    for _ in range(26):
        w, h = rng.integers(30, 120), rng.integers(25, 130)
        x, y = rng.integers(0, width - w), max(0, horizon - int(h) + int(rng.integers(0, 45)))
        out[y : y + h, x : x + w] = colours[rng.integers(2, 8)] + rng.normal(0, 4, 3)
        step = int(rng.integers(8, 16))
        for row in range(y + 4, y + h - 6, step):
            for column in range(x + 4, x + w - 6, step):
                out[row : row + step // 2, column : column + step // 2] = colours[rng.integers(0, 8)] * 0.7
    leaves = cv2.GaussianBlur(rng.normal(0, 1, (height, width)).astype(np.float32), (0, 0), 1.5)
    out += (leaves * rng.uniform(15, 50))[..., None] * (np.arange(height) > horizon)[:, None, None]
    return np.clip((out - 110) * contrast + 110, 0, 255).astype(np.float32)


def camera(rng: Rng, speed: float = 1.0) -> Camera:
    return Camera(
        SIZE[0] * rng.uniform(0.8, 1.2), SIZE[1] * rng.uniform(0.15, 0.4), rng.normal(0, 1.2) * speed,
        rng.normal(0, 0.3) * speed, abs(rng.normal(0, 0.5)), rng.uniform(0.9, 1.1), 1 + rng.normal(0, 0.001),
    )  # fmt: skip


def look(panorama: np.ndarray, eye: Camera, t: float, rng: Rng, blur: float = 0) -> np.ndarray:
    """What the camera sees at frame t; `blur` is the exposure in frames."""
    zoom = eye.zoom * eye.dzoom**t
    x = eye.x + eye.dx * t + rng.normal(0, eye.shake)
    y = eye.y + eye.dy * t + rng.normal(0, eye.shake)
    matrix = np.array([[1 / zoom, 0, x], [0, 1 / zoom, y]], np.float32)
    out = cv2.warpAffine(
        panorama, matrix, SIZE, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_WRAP
    )
    length = int(abs(eye.dx) * blur)
    return cv2.blur(out, (length, 1)) if length > 1 else out


@dataclass
class Walker:
    """A patterned block that walks through the picture."""

    patch: np.ndarray
    x: float
    y: float
    dx: float

    @classmethod
    def new(cls, rng: Rng, size: float = 0.25, speed: float = 3.0) -> "Walker":
        h = int(SIZE[1] * size * rng.uniform(0.7, 1.3))
        patch = cv2.resize(
            rng.uniform(0, 255, (6, 4, 3)).astype(np.float32), (max(6, h // 2), h), interpolation=cv2.INTER_CUBIC
        )
        return cls(patch, rng.uniform(0, SIZE[0]), rng.uniform(0.3, 0.9) * (SIZE[1] - h), rng.normal(0, speed))

    def draw(self, picture: np.ndarray, t: float) -> None:
        h, w = self.patch.shape[:2]
        x, y = int(self.x + self.dx * t), int(self.y)
        left, right, top, bottom = max(0, x), min(SIZE[0], x + w), max(0, y), min(SIZE[1], y + h)
        if left < right and top < bottom:
            picture[top:bottom, left:right] = self.patch[top - y : bottom - y, left - x : right - x]


def finished(picture: np.ndarray, rng: Rng, grain: float) -> np.ndarray:
    noise = (
        rng.standard_normal((SIZE[1], SIZE[0], 1), np.float32)
        + rng.standard_normal((SIZE[1], SIZE[0], 3), np.float32) / 2
    )
    return np.clip(picture + noise * grain, 0, 255).astype(np.uint8)


def shot(
    rng: Rng, panorama: np.ndarray, count: int, eye: Camera | None = None, walkers: int = 2, blur: float = 0
) -> list[np.ndarray]:
    eye = eye or camera(rng)
    people = [Walker.new(rng) for _ in range(walkers)]
    out = []
    for t in range(count):
        picture = look(panorama, eye, t, rng, blur)
        for walker in people:
            walker.draw(picture, t)
        out.append(picture)
    return out


def joined(rng: Rng, *shots: list[np.ndarray], grain: float | None = None) -> Clip:
    level = rng.uniform(1, 4) if grain is None else grain
    return [finished(p, rng, level) for pictures in shots for p in pictures], [len(shots[0])]


def lengths(rng: Rng) -> tuple[int, int]:
    first = int(rng.integers(18, FRAMES - 18))
    return first, FRAMES - first


def other_place(rng: Rng) -> Clip:
    a, b = lengths(rng)
    return joined(rng, shot(rng, place(rng, palette(rng)), a), shot(rng, place(rng, palette(rng)), b))


def same_palette(rng: Rng) -> Clip:
    (a, b), colours = lengths(rng), palette(rng)
    return joined(rng, shot(rng, place(rng, colours), a), shot(rng, place(rng, colours), b))


def mirrored(rng: Rng) -> Clip:
    (a, b), there = lengths(rng), place(rng, palette(rng))
    eye = camera(rng)
    return joined(rng, shot(rng, there, a, eye), [np.ascontiguousarray(p[:, ::-1]) for p in shot(rng, there, b, eye)])


def rolled(rng: Rng) -> Clip:
    (a, b), there = lengths(rng), place(rng, palette(rng))
    by = int(SIZE[0] * rng.uniform(0.2, 0.8))
    eye = camera(rng)
    return joined(rng, shot(rng, there, a, eye), [np.roll(p, by, axis=1) for p in shot(rng, there, b, eye)])


def zoomed_in(rng: Rng) -> Clip:
    """A jump cut to a closer view of the same place."""
    (a, b), there, eye = lengths(rng), place(rng, palette(rng)), camera(rng)
    near = Camera(eye.x + 40, eye.y + 20, eye.dx, eye.dy, eye.shake, eye.zoom * rng.uniform(1.6, 2.4))
    return joined(rng, shot(rng, there, a, eye), shot(rng, there, b, near))


def noise_shots(rng: Rng) -> Clip:
    """Shots that are a fixed pattern of noise each, with the same mean and spread."""
    (a, b), spread = lengths(rng), rng.uniform(25, 60)
    pictures = [rng.normal(120, spread, (SIZE[1], SIZE[0], 3)).astype(np.float32) for _ in range(2)]
    return joined(rng, *([p] * n for p, n in zip(pictures, (a, b), strict=True)))


def dark(rng: Rng) -> Clip:
    (a, b), colours = lengths(rng), palette(rng) * 0.2
    shots = [[p * 0.18 + 4 for p in shot(rng, place(rng, colours * 4, 0.9), n)] for n in (a, b)]
    return joined(rng, *shots, grain=rng.uniform(0.7, 2))


def in_motion(rng: Rng) -> Clip:
    """A cut from one fast pan to another."""
    (a, b), colours = lengths(rng), palette(rng)
    pans = [camera(rng) for _ in range(2)]
    for eye in pans:
        eye.dx = rng.choice((-1, 1)) * rng.uniform(6, 14)
    return joined(rng, *(shot(rng, place(rng, colours), n, eye, blur=0.5) for n, eye in zip((a, b), pans, strict=True)))


def grainy(rng: Rng) -> Clip:
    a, b = lengths(rng)
    colours = palette(rng)
    return joined(rng, *(shot(rng, place(rng, colours, 0.5), n) for n in (a, b)), grain=rng.uniform(15, 30))


def to_title(rng: Rng) -> Clip:
    """A cut to a card in one colour."""
    a, b = lengths(rng)
    card = np.zeros((SIZE[1], SIZE[0], 3), np.float32) + rng.uniform(0, 255, 3)
    return joined(rng, shot(rng, place(rng, palette(rng)), a), [card] * b)


def of_cards(rng: Rng) -> Clip:
    """A cut between cards in one colour each."""
    a, b = lengths(rng)
    first = rng.uniform(20, 235, 3)
    second = (first + rng.choice((-1, 1), 3) * rng.uniform(40, 90, 3)) % 235
    cards = [np.zeros((SIZE[1], SIZE[0], 3), np.float32) + c for c in (first, second)]
    return joined(rng, [cards[0]] * a, [cards[1]] * b)


def one_shot(rng: Rng, **options: float) -> list[np.ndarray]:
    return shot(rng, place(rng, palette(rng)), FRAMES, **options)  # type: ignore[arg-type]


def plain(rng: Rng) -> Clip:
    return joined(rng, one_shot(rng))[0], []


def flash(rng: Rng) -> Clip:
    frames = one_shot(rng)
    for start in rng.integers(8, FRAMES - 8, 2):
        for t in range(start, start + rng.integers(1, 4)):
            frames[t] = frames[t] * rng.uniform(0.1, 0.6) + rng.uniform(150, 250)
    return joined(rng, frames)[0], []


def whip_pan(rng: Rng) -> Clip:
    there, eye = place(rng, palette(rng)), camera(rng)
    speeds = np.full(FRAMES, eye.dx)
    start, length = int(rng.integers(12, 24)), int(rng.integers(6, 14))
    peak = rng.choice((-1, 1)) * rng.uniform(25, 75)
    speeds[start : start + length] += peak * np.sin(np.linspace(0.2, np.pi - 0.2, length))
    out, x = [], eye.x
    for t in range(FRAMES):
        x += speeds[t]
        out.append(look(there, Camera(x, eye.y, speeds[t], 0, 0.3, eye.zoom), 0, rng, blur=0.6))
    return joined(rng, out)[0], []


def passer_by(rng: Rng) -> Clip:
    """Something near walks past and fills the picture."""
    frames = one_shot(rng)
    h, w = SIZE[1], int(SIZE[0] * rng.uniform(0.7, 1.5))
    texture = cv2.resize(rng.uniform(0, 255, (12, 16, 3)).astype(np.float32), (w, h), interpolation=cv2.INTER_CUBIC)
    bus = Walker(texture * rng.uniform(0.3, 1), -w, 0, SIZE[0] * rng.uniform(0.04, 0.12))
    start = int(rng.integers(4, 12))
    for t in range(start, FRAMES):
        bus.draw(frames[t], t - start)
    return joined(rng, frames)[0], []


def light_switched(rng: Rng) -> Clip:
    frames, at = one_shot(rng), int(rng.integers(15, FRAMES - 15))
    gain = rng.uniform(0.25, 0.5)
    tint = rng.uniform(0.8, 1.2, 3)
    dim = [p * gain * tint for p in frames]
    on = dim[:at] + frames[at:]
    return joined(rng, on if rng.random() < 0.5 else frames[:at] + dim[at:])[0], []


def hand_held(rng: Rng) -> Clip:
    there, eye = place(rng, palette(rng)), camera(rng, speed=3)
    eye.shake = rng.uniform(3, 7)
    return joined(rng, shot(rng, there, FRAMES, eye, walkers=3))[0], []


def fast_zoom(rng: Rng) -> Clip:
    there, eye = place(rng, palette(rng)), camera(rng)
    eye.dzoom = float(rng.choice((0.985, 1.04, 1.03)))
    return joined(rng, shot(rng, there, FRAMES, eye))[0], []


def crowd(rng: Rng) -> Clip:
    there, eye = place(rng, palette(rng)), camera(rng)
    people = [Walker.new(rng, 0.45, 9) for _ in range(14)]
    out = []
    for t in range(FRAMES):
        picture = look(there, eye, t, rng)
        for walker in people:
            walker.draw(picture, t)
        out.append(picture)
    return joined(rng, out)[0], []


def snow(rng: Rng) -> Clip:
    """Noise that is new in every frame."""
    return [np.clip(rng.normal(120, 50, (SIZE[1], SIZE[0], 3)), 0, 255).astype(np.uint8) for _ in range(FRAMES)], []


def stutter(rng: Rng) -> Clip:
    """A pan that lost some frames."""
    there, eye = place(rng, palette(rng)), camera(rng)
    eye.dx = rng.choice((-1, 1)) * rng.uniform(3, 7)
    times = [t + (3 if t > 20 else 0) + (2 if t > 33 else 0) for t in range(FRAMES)]
    return joined(rng, [look(there, eye, t, rng) for t in times])[0], []


def strobe(rng: Rng) -> Clip:
    frames = one_shot(rng)
    period = int(rng.integers(3, 7))
    return joined(rng, [p if t // period % 2 else p * 0.35 for t, p in enumerate(frames)])[0], []


def dissolve(rng: Rng) -> Clip:
    first, second = one_shot(rng), one_shot(rng)
    start, length = int(rng.integers(14, 22)), int(rng.integers(6, 16))
    weights = np.clip((np.arange(FRAMES) - start) / length, 0, 1)
    return joined(rng, [a * (1 - w) + b * w for a, b, w in zip(first, second, weights, strict=True)])[0], []


CUTS: dict[str, Callable[[Rng], Clip]] = {
    "other place": other_place, "same palette": same_palette, "mirrored": mirrored, "rolled": rolled,
    "zoomed in": zoomed_in, "noise": noise_shots, "dark": dark, "in motion": in_motion, "grainy": grainy,
    "to a card": to_title, "of cards": of_cards,
}  # fmt: skip
NO_CUTS: dict[str, Callable[[Rng], Clip]] = {
    "plain": plain, "flash": flash, "whip pan": whip_pan, "passer-by": passer_by, "light": light_switched,
    "hand-held": hand_held, "zoom": fast_zoom, "crowd": crowd, "snow": snow, "stutter": stutter, "strobe": strobe,
}  # fmt: skip
KINDS = {**CUTS, **NO_CUTS, "dissolve": dissolve}


def ours(pictures: list[np.ndarray]) -> list[int]:
    detector = CutDetector()
    for picture in pictures:
        detector.add(av.VideoFrame.from_ndarray(picture, "rgb24"))
    return list(detector.cuts)


def content_values(pictures: list[np.ndarray]) -> list[float]:
    """ContentDetector's score of every frame: the mean absolute difference in HSV from the frame before."""
    out, last = [0.0], None
    scale = min(1.0, 256 / pictures[0].shape[1])
    for picture in pictures:
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        hsv = cv2.cvtColor(small, cv2.COLOR_RGB2HSV).astype(np.int32)
        if last is not None:
            out.append(float(np.abs(hsv - last).mean(axis=(0, 1)).sum() / 3))
        last = hsv
    return out


def content(pictures: list[np.ndarray]) -> list[int]:
    """ContentDetector with its filter of cuts that follow each other closely (FlashFilter, MERGE)."""
    cuts: list[int] = []
    last, merging, enabled, began = 0, False, False, 0
    for t, value in enumerate(content_values(pictures)):
        above, far = value >= CONTENT, t - last >= SHORTEST
        last = t if above else last
        if merging:
            if far and not above and last - began >= SHORTEST:
                merging = False
                cuts.append(last)
        elif above and far:
            enabled = True
            cuts.append(t)
        elif above and enabled:
            merging, began = True, t
    return cuts


def adaptive(pictures: list[np.ndarray]) -> list[int]:
    """AdaptiveDetector: the score over the mean score of the frames around."""
    values, cuts, last = content_values(pictures), [], 0
    for t in range(WINDOW, len(values) - WINDOW):
        around = [*values[t - WINDOW : t], *values[t + 1 : t + 1 + WINDOW]]
        usual = sum(around) / len(around)
        ratio = min(values[t] / usual, 255.0) if usual >= 1e-5 else 255.0
        if ratio >= ADAPTIVE and values[t] >= LEAST_CONTENT and t - last >= SHORTEST:
            cuts.append(t)
            last = t
    return cuts


FINDERS = {"ours": ours, "content": content, "adaptive": adaptive}


def rng_of(kind: str, seed: int) -> Rng:
    return np.random.default_rng([seed, list(KINDS).index(kind)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(ODD))
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--speed", action="store_true")
    chosen = parser.parse_args()
    if chosen.speed:
        print_speed()
        return
    print(f"{'':14s}" + "".join(f"{name:>20s}" for name in FINDERS))
    print(f"{'':14s}" + f"{'cut':>12s}{'false':>8s}" * len(FINDERS))
    sums = {name: np.zeros(3, int) for name in FINDERS}  # found, false, true
    for kind in chosen.kinds:
        cells = {name: np.zeros(3, int) for name in FINDERS}
        for seed in chosen.seeds:
            pictures, truth = KINDS[kind](rng_of(kind, seed))
            for name, finder in FINDERS.items():
                found = set(finder(pictures))
                cells[name] += (len(found & set(truth)), len(found - set(truth)), len(truth))
        if kind != "dissolve":
            for name, cell in cells.items():
                sums[name] += cell
        print(f"{kind:14s}" + "".join(f"{f'{c[0]} of {c[2]}' if c[2] else '-':>12s}{c[1]:8d}" for c in cells.values()))
    for title, share in (
        ("recall", lambda s: s[0] / max(1, s[2])),
        ("precision", lambda s: s[0] / max(1, s[0] + s[1])),
    ):
        print(f"{title:14s}" + "".join(f"{share(s):12.2f}{'':8s}" for s in sums.values()))


def print_speed() -> None:
    """Milliseconds that the finder takes for a frame of 640x360, calm and in motion."""
    for kind in ("plain", "hand-held", "whip pan", "snow"):
        pictures = [cv2.resize(p, (640, 360)) for p in KINDS[kind](rng_of(kind, 0))[0]]
        frames = [av.VideoFrame.from_ndarray(p, "rgb24").reformat(format="yuv420p") for p in pictures]
        best = np.inf
        for _ in range(5):
            detector, started = CutDetector(), time.perf_counter()
            for frame in frames:
                detector.add(frame)
            detector.cuts  # noqa: B018  the rest of the work is done here
            best = min(best, (time.perf_counter() - started) / len(frames))
        print(f"{kind:12s} {best * 1000:.2f} ms a frame")


if __name__ == "__main__":
    main()
