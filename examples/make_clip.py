"""Renders `street.mp4`: a ball that rolls along a pavement, with its shadow, under a hand-held camera, with sound.

    python examples/make_clip.py [OUTPUT.mp4] [--truth TRUTH.mp4]

Everything is drawn by this file, so the clip is free to use. `--truth` writes the same clip without ball and shadow.
"""

import argparse
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

WIDTH, HEIGHT, FRAMES, RATE = 640, 360, 96, 24
WORLD = (1100, 620)  # width and height of the street that the camera sees parts of
GROUND = 330  # where wall and pavement meet
RADIUS = 46
SOUND_RATE = 48000


def noise(shape, octaves, rng):
    """Fractal noise, about -1 to 1, (H, W) float32."""
    total = np.zeros(shape, np.float32)
    for k in range(octaves):
        cells = max(2, shape[0] >> (octaves - k)), max(2, shape[1] >> (octaves - k))
        layer = rng.normal(size=cells).astype(np.float32)
        total += cv2.resize(layer, shape[::-1], interpolation=cv2.INTER_CUBIC) * 0.6**k
    return total / max(np.abs(total).max(), 1e-6)


def bricks(rng):
    """The wall, (GROUND, W, 3) float32 in [0, 1]."""
    height, width = GROUND, WORLD[0]
    wall = np.empty((height, width, 3), np.float32)
    wall[:] = (0.62, 0.60, 0.56)
    for row, y in enumerate(range(0, height, 20)):
        for x in range(-(row % 2) * 24, width, 48):
            tone = rng.normal(0, 0.05)
            colour = np.array((0.56, 0.33, 0.26)) + tone + rng.normal(0, 0.015, 3)
            wall[y + 2 : y + 19, max(x + 2, 0) : max(x + 46, 0)] = colour
    for x in (120, 470, 820):  # windows with a sky in them
        wall[70:230, x : x + 130] = (0.85, 0.84, 0.80)
        sky = np.linspace(0.85, 0.45, 140, dtype=np.float32)[:, None, None] * np.array((0.75, 0.9, 1.0), np.float32)
        wall[80:220, x + 10 : x + 120] = sky
        wall[80:220, x + 62 : x + 68] = (0.85, 0.84, 0.80)
        wall[228:240, x - 8 : x + 138] = (0.72, 0.71, 0.68)
    return wall + 0.05 * noise((height, width), 7, rng)[..., None]


def pavement(rng):
    """The ground in perspective, (WORLD height - GROUND, W, 3) float32."""
    size = 900
    tiles = np.empty((size, size, 3), np.float32)
    for y in range(0, size, 90):
        for x in range(0, size, 90):
            tiles[y : y + 90, x : x + 90] = 0.58 + rng.normal(0, 0.03) + np.array((0.02, 0.01, -0.02))
            tiles[y : y + 4, x : x + 90] = tiles[y : y + 90, x : x + 4] = 0.36
    tiles += 0.12 * noise((size, size), 8, rng)[..., None]
    for _ in range(260):  # leaves and spots
        x, y = rng.integers(0, size, 2)
        spot = tuple(float(c) for c in rng.uniform(0.15, 0.5, 3) * np.array((1.0, 0.8, 0.4)))
        cv2.ellipse(
            tiles, (int(x), int(y)), (int(rng.integers(3, 10)), 3), float(rng.uniform(0, 180)), 0, 360, spot, -1
        )
    height = WORLD[1] - GROUND
    near = np.float32([[-500, height], [WORLD[0] + 500, height], [WORLD[0] + 60, 0], [-60, 0]])
    matrix = cv2.getPerspectiveTransform(np.float32([[0, size], [size, size], [size, 0], [0, 0]]), near)
    return cv2.warpPerspective(tiles, matrix, (WORLD[0], height), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT)


def street(rng):
    """The empty street, (H, W, 3) float32."""
    picture = np.concatenate([bricks(rng), pavement(rng)])
    picture[GROUND - 10 : GROUND + 8] = np.array((0.45, 0.44, 0.43)) + 0.05 * noise((18, WORLD[0]), 5, rng)[..., None]
    return np.clip(picture, 0, 1)


def ball(angle):
    """A basketball lit from the upper left: colour (2R, 2R, 3) and coverage (2R, 2R)."""
    span = np.arange(2 * RADIUS) - RADIUS + 0.5
    x, y = np.meshgrid(span / RADIUS, span / RADIUS)
    inside = np.clip((1 - np.hypot(x, y)) * RADIUS + 0.5, 0, 1)
    z = np.sqrt(np.clip(1 - x**2 - y**2, 0, 1))
    across, along = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
    seams = np.minimum.reduce([np.abs(across), np.abs(along), np.abs(np.abs(along) - 0.45 - 0.25 * across**2)])
    line = np.clip((seams - 0.02) / 0.03, 0, 1)[..., None]
    colour = line * np.array((0.90, 0.42, 0.10)) + (1 - line) * np.array((0.16, 0.08, 0.05))
    light = np.clip(-0.5 * x - 0.6 * y + 0.65 * z, 0, 1)
    shine = np.clip(-0.42 * x - 0.5 * y + 0.76 * z, 0, 1) ** 30
    return np.clip(colour * (0.35 + 0.75 * light[..., None]) + 0.25 * shine[..., None], 0, 1), inside


def place(t):
    """Centre of the ball in the street at frame t."""
    return 190 + 6.4 * t, 452 + 6 * np.sin(t / 15)


def with_ball(picture, t):
    """The street with ball and shadow."""
    out = picture.copy()
    x, y = place(t)
    shadow = np.zeros(picture.shape[:2], np.float32)
    cv2.ellipse(shadow, (round(x + 16), round(y + RADIUS - 6)), (RADIUS + 8, 13), 0, 0, 360, 1.0, -1)
    out *= 1 - 0.5 * cv2.GaussianBlur(shadow, (0, 0), 5)[..., None]
    colour, inside = ball(x / RADIUS)
    left, top = round(x) - RADIUS, round(y) - RADIUS
    part = out[top : top + 2 * RADIUS, left : left + 2 * RADIUS]
    part[:] = part * (1 - inside[..., None]) + colour * inside[..., None]
    return out


def camera(t):
    """The hand-held camera: a pan with a little sway, as an affine map from street to frame."""
    pan = 40 + 3.6 * t + 3 * np.sin(t / 7)
    tilt = 175 + 4 * np.sin(t / 11)
    turn, zoom = 0.006 * np.sin(t / 13), 1.0 + 0.015 * np.sin(t / 23)
    matrix = cv2.getRotationMatrix2D((pan + WIDTH / 2, tilt + HEIGHT / 2), np.degrees(turn), zoom)
    matrix[:, 2] -= (pan, tilt)
    return matrix


def frame(picture, t):
    """What the camera records at frame t, (H, W, 3) uint8: with lens softness and sensor grain."""
    view = cv2.warpAffine(picture, camera(t), (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    view = cv2.GaussianBlur(view, (0, 0), 0.6)
    grain = np.random.default_rng(1000 + t).normal(0, 0.008, view.shape)
    return (np.clip(view + grain, 0, 1) * 255).round().astype(np.uint8)


def sound():
    """The rumble of the ball, stereo float32 (2, samples)."""
    count = FRAMES * SOUND_RATE // RATE
    rng = np.random.default_rng(5)
    rumble = cv2.GaussianBlur(rng.normal(size=(1, count)).astype(np.float32), (0, 0), 60, borderType=cv2.BORDER_REFLECT)
    rumble *= 1 + 0.5 * np.sin(np.arange(count) / SOUND_RATE * 2 * np.pi * 1.1)
    side = np.linspace(0.25, 0.75, count)
    return (0.25 * rumble / np.abs(rumble).max() * np.stack([1 - side, side])).astype(np.float32)


def write(path, pictures):
    """Encode the frames with the sound."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE, options={"crf": "19", "preset": "slow"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        context = video.codec_context
        context.color_primaries = context.color_trc = context.colorspace = 1
        context.color_range = 1
        audio = container.add_stream("aac", rate=SOUND_RATE)
        audio.layout = "stereo"
        for rgb in pictures:
            picture = av.VideoFrame.from_ndarray(rgb, "rgb24")
            container.mux(video.encode(picture.reformat(format="yuv420p", dst_colorspace="ITU709")))
        container.mux(video.encode())
        samples = sound()
        for start in range(0, samples.shape[1], 1024):
            chunk = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[:, start : start + 1024]), "fltp", "stereo")
            chunk.sample_rate, chunk.pts, chunk.time_base = SOUND_RATE, start, Fraction(1, SOUND_RATE)
            container.mux(audio.encode(chunk))
        container.mux(audio.encode())


def main():
    """Write the clip."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("output", nargs="?", type=Path, default=Path(__file__).with_name("street.mp4"))
    parser.add_argument("--truth", type=Path)
    args = parser.parse_args()
    empty = street(np.random.default_rng(3))
    write(args.output, (frame(with_ball(empty, t), t) for t in range(FRAMES)))
    if args.truth:
        write(args.truth, (frame(empty, t) for t in range(FRAMES)))


if __name__ == "__main__":
    main()
