"""On drawn scenes the truth comes before what `erase` makes, that before Telea's filling, and that before nothing."""

from pathlib import Path

import numpy as np
import pytest

from support import disc, erased
from support.clips import write_clip
from vremove_cli import erase
from vremove_cli.media.read import open_clip

FRAMES = erased.FRAMES
SCENES = {
    "a camera that pans": (1, (225, 40, 30)),
    "a still camera": (0, (225, 40, 30)),
    "a dull disc": (1, (90, 110, 100)),
}


@pytest.mark.parametrize("name", SCENES)
def test_results_are_ranked_as_they_were_made(name: str, tmp_path: Path) -> None:
    speed, colour = SCENES[name]
    masks = erased.masks()
    truth = np.stack([erased.grained(disc.view(speed * t, *erased.SIZE), speed * t, seed=t) for t in range(FRAMES)])
    source = truth.copy()
    for t, mask in enumerate(masks):
        source[t][mask] = erased.grained(np.full((*mask.shape, 3), colour), 2 * t, seed=50 + t)[mask]
    clip = write_clip(
        tmp_path / "clip.mkv", codec="ffv1", pix_fmt="bgr0", size=erased.SIZE, frames=FRAMES,
        picture=lambda t, *_: source[t],
    )  # fmt: skip
    made = erase(clip, mask=masks, effects="off")
    ours = np.stack([frame.rgb8() for frame in open_clip(made.output).frames()])
    results = (truth, ours, erased.telea(source), source)
    scores = [erased.scored(result, clip=source).overall for result in results]
    assert scores == sorted(scores, reverse=True), scores
    assert len(set(scores)) == len(scores)
