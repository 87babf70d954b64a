"""Checks the erased example: same frames and sound, and no orange ball left."""

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
