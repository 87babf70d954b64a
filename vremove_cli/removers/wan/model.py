"""The parts that removers on Wan run, and what they predict."""

from collections.abc import Callable
from typing import Any


def predictor(transformer: Any, condition: Any, text: Any, pictures: Any) -> Callable[[Any, Any], Any]:
    """Gives the velocity (1, 16, L, h, w) for latents of that shape and a time (1,).

    `condition` (1, 20, L, h, w) goes beside the latents; `text` is (1, 512, D); `pictures` are one context (1, 257, D)
    for the whole clip, or one for each latent frame (L, 257, D).
    """
    import torch

    from vremove_cli.networks.wan import framewise

    if len(pictures) > 1:
        framewise(transformer)
        text = text.expand(len(pictures), -1, -1)

    def predict(latents: Any, time: Any) -> Any:
        given = torch.cat([latents, condition.to(latents)], 1).to(transformer.dtype)
        return transformer(
            hidden_states=given, timestep=time, encoder_hidden_states=text, encoder_hidden_states_image=pictures,
            return_dict=False,
        )[0]  # fmt: skip

    return predict
