"""Checks the erased example: same frames and sound, no orange ball left, and no shadow of it either."""

import importlib.util
import sys

import av
import numpy as np


def read(path):
    with av.open(path) as clip:
        frames = [(f.pts, f.to_ndarray(format="rgb24").astype(int)) for f in clip.decode(video=0)]
    with av.open(path) as clip:
        sound = [bytes(p) for p in clip.demux(audio=0) if p.size]
    return frames, sound


def orange(rgb):
    return int(((rgb[..., 0] > 150) & (rgb[..., 0] - rgb[..., 2] > 90) & (rgb[..., 1] > 60))[150:].sum())


before, sound_before = read(sys.argv[1])
after, sound_after = read(sys.argv[2])
assert [p for p, _ in before] == [p for p, _ in after], "frame times differ"
assert sound_before == sound_after, "the sound differs"
balls = [orange(rgb) for _, rgb in before]
rests = [orange(rgb) for _, rgb in after]
print(
    f"{len(after)} frames; orange pixels: {np.mean(balls):.0f} before, {np.mean(rests):.1f} after (most: {max(rests)})"
)
assert min(balls) > 1500, "the ball should be there before"
assert max(rests) < 60, "some of the ball is left"

spec = importlib.util.spec_from_file_location("make_clip", "examples/make_clip.py")
maker = importlib.util.module_from_spec(spec)
spec.loader.exec_module(maker)
empty = maker.street(np.random.default_rng(3))
errors = []
for t in range(0, len(after), 8):
    truth = maker.frame(empty, t).astype(int)
    touched = np.abs(maker.frame(maker.with_ball(empty, t), t).astype(int) - truth).max(axis=2) > 12
    errors.append(np.abs(after[t][1] - truth)[touched].mean())
print(f"where ball and shadow were: {np.mean(errors):.1f} levels from the clip without them (most: {max(errors):.1f})")
assert max(errors) < 12, "something of the ball or of its shadow is left"
