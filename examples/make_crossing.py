"""Renders `crossing.mp4`, a clip that a tracker without weights gets wrong: docs/masks.md corrects it.

    python examples/make_crossing.py [OUTPUT.mp4] [--truth MASK.mkv]

On the street of `make_clip.py` a walker in a red shirt passes another one in the same clothes who waits, goes behind a
post, and comes out again. `--truth` writes the true mask of the walker.
"""

import argparse
from pathlib import Path

import av
import cv2
import numpy as np
from make_clip import FRAMES, HEIGHT, RATE, WIDTH, camera, frame, street

SHIRT, TROUSERS, SKIN = (0.74, 0.16, 0.13), (0.16, 0.17, 0.26), (0.86, 0.66, 0.54)
WAITS, POST = (450, 380), 610  # where the other one stands, and the post's left edge


def figure(shape, x, y, stride):
    """A person whose feet are at y + 95: coverage of shirt, trousers and skin, (H, W) float32 each."""
    shirt, trousers, skin = (np.zeros(shape, np.float32) for _ in range(3))
    swing = 26 * np.sin(stride)
    for side in (-1, 1):
        foot = (round(x + side * swing), round(y + 95))
        cv2.line(trousers, (round(x + 4 * side), round(y + 38)), foot, 1.0, 15, cv2.LINE_AA)
        hand = (round(x - side * 0.8 * swing + 3 * side), round(y + 34))
        cv2.line(shirt, (round(x + 12 * side), round(y - 14)), hand, 1.0, 11, cv2.LINE_AA)
        cv2.circle(skin, hand, 6, 1.0, -1, cv2.LINE_AA)
    cv2.ellipse(shirt, (round(x), round(y + 10)), (19, 36), 0, 0, 360, 1.0, -1, cv2.LINE_AA)
    cv2.circle(skin, (round(x), round(y - 38)), 13, 1.0, -1, cv2.LINE_AA)
    return trousers, shirt, skin


def painted(picture, x, y, stride):
    """The picture with a person on it, and the person's coverage (H, W)."""
    out, covered = picture.copy(), np.zeros(picture.shape[:2], np.float32)
    shade = np.zeros_like(covered)
    cv2.ellipse(shade, (round(x + 12), round(y + 100)), (44, 9), 0, 0, 360, 0.45, -1)
    out *= 1 - cv2.GaussianBlur(shade, (0, 0), 4)[..., None]
    for part, colour in zip(figure(covered.shape, x, y, stride), (TROUSERS, SHIRT, SKIN), strict=True):
        out = out * (1 - part[..., None]) + np.array(colour, np.float32) * part[..., None]
        covered = np.maximum(covered, part)
    return out, covered


def scene(empty, t):
    """The street at frame t with everybody, and the true coverage of the walker."""
    out, _ = painted(empty, *WAITS, 0.5)
    out, covered = painted(out, 230 + 6.6 * t, 400 + 3 * abs(np.sin(t / 4)), t / 4)
    out[150:520, POST : POST + 74] = (0.30, 0.33, 0.31)
    covered[150:520, POST : POST + 74] = 0
    return out, covered


def write(path, pictures, codec, pixels):
    """Write pictures as a silent clip."""
    with av.open(str(path), "w") as target:
        stream = target.add_stream(codec, RATE, width=WIDTH, height=HEIGHT, pix_fmt=pixels)
        if codec == "libx264":
            stream.options = {"crf": "18"}
        for picture in pictures:
            kind = "rgb24" if picture.ndim == 3 else "gray"
            target.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format=kind)))
        target.mux(stream.encode())


def main():
    """Write the clip."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("output", nargs="?", default=str(Path(__file__).parent / "crossing.mp4"))
    options.add_argument("--truth")
    given = options.parse_args()
    empty = street(np.random.default_rng(3))
    drawn = [scene(empty, t) for t in range(FRAMES)]
    write(given.output, (frame(picture, t) for t, (picture, _) in enumerate(drawn)), "libx264", "yuv420p")
    if given.truth:
        seen = (cv2.warpAffine(m, camera(t), (WIDTH, HEIGHT)) for t, (_, m) in enumerate(drawn))
        write(given.truth, ((m > 0.5) * np.uint8(255) for m in seen), "ffv1", "gray")


if __name__ == "__main__":
    main()
