"""UnderEraser: erases an object with its side effects, at any length, in four steps.

The paper (arXiv 2604.01693) and the released code. Each latent frame attends to pictures of its own four frames, and
long clips are led by keyframes (sec. 3.4), which the released code leaves out. The paper shows the network the video as
it is; the released one hides the object in gray, which is what is done unless `--conditioning paper` is asked for.
"""

from collections.abc import Callable
from typing import Any

from vremove_cli.geometry import Array
from vremove_cli.removers import memory, tiles
from vremove_cli.removers.base import RemoverSpec, Settings, ShotInfo, Stage
from vremove_cli.removers.budget import Network
from vremove_cli.removers.chain import guided
from vremove_cli.removers.wan import conditions, model
from vremove_cli.removers.wan.remover import VAE_BYTES, WanRemover
from vremove_cli.removers.wan.sampling import flowed, twice_shifted
from vremove_cli.windows import propagated

WINDOW = 81  # frames that the network has always seen at once
FADE = 8  # frames over which two windows go over into each other at most
STEPS = {"draft": 2, "standard": 4, "best": 8}
DISTILLED, STRENGTH = 1.0, 0.55  # of the two changes that make it of Wan
OWN, FAST, BASE = "undereraser", "lightx2v", "wan-fun-14b"


class UnderEraserRemover(WanRemover):
    """See `removers.base.Remover`."""

    spec = RemoverSpec(
        "undereraser", "none stated", "frame", multiple=1, shows="source", models=(OWN, FAST, BASE),
        takes=("prompt", "quality", "steps", "size", "loras", "conditioning"),
        network=Network(16_394_878_784, 40, 5120, 13824, WINDOW, 1, VAE_BYTES + 1_270_000_000),
    )  # fmt: skip
    area = 480 * 720
    qualities = STEPS

    def stages(self, shot: ShotInfo) -> list[Stage]:
        """Keyframes of each shot, then windows, which need the keyframes alone."""
        return [
            stage
            for first, stop in shot.shots
            for stage in guided("undereraser", propagated(stop - first, WINDOW), first, FADE)
        ]

    def length(self, frames: int) -> int:
        """Always as many as it was trained with."""
        return WINDOW

    def denoiser(self, device: str, dtype: Any, mode: memory.Mode) -> "_UnderEraser":
        return _UnderEraser(self.settings, device, dtype, mode, self.steps())


class _UnderEraser:
    def __init__(self, settings: Settings, device: str, dtype: Any, mode: memory.Mode, steps: int) -> None:
        places, self._device, self._dtype, self._steps = settings.places, device, dtype, steps
        self._base, self._hides = places[BASE], settings.conditioning == "released"
        self._text = model.text_states(self._base, settings.prompt, device, dtype)
        changes = ((places[FAST], DISTILLED, False), (places[OWN], STRENGTH, True))
        own = tuple((path, strength, True) for path, strength in settings.loras)
        self._transformer, self.vae = model.opened(self._base, self._base, (*changes, *own), device, dtype, mode)
        self._encode = tiles.ways(mode.tiled).encode

    def __call__(self, frames: Array, mask: Array, noise: Any, tick: Callable[[int], None]) -> Any:
        video = conditions.as_video(frames)
        shown = (conditions.hidden(video, mask) if self._hides else video).to(self._device)
        y = conditions.condition(self.vae, shown, mask, self._encode)
        clip = model.load_clip(self._base, self._dtype).to(self._device)
        pictures = conditions.grouped(conditions.clip_features(clip, conditions.blackened(frames, mask)))
        clip.to("cpu")
        predict = model.predictor(self._transformer, y, self._text, pictures)
        return flowed(predict, noise, twice_shifted(self._steps), lambda n, _: tick(n))
