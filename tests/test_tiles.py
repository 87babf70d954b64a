"""Tiles of a picture that a VAE cannot take whole."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import avg_pool2d, interpolate
from twins import golden

from vremove_cli.networks.cogvideox import decode, encode
from vremove_cli.removers.tiles import needed, tiled


@settings(deadline=None, max_examples=30)
@given(st.integers(4, 70), st.integers(4, 70), st.integers(8, 20), st.integers(2, 5))
def test_what_sees_one_pixel_is_the_same_in_tiles(height: int, width: int, tile: int, shared: int) -> None:
    picture = torch.rand(1, 2, height, width)
    out = tiled(lambda part: interpolate(part, scale_factor=4, mode="nearest"), picture, tile, shared)
    assert torch.allclose(out, interpolate(picture, scale_factor=4, mode="nearest"), atol=1e-6)


def test_a_result_may_be_smaller() -> None:
    picture = torch.rand(1, 2, 96, 160)
    out = tiled(lambda part: avg_pool2d(part, 8), picture, 64, 16)
    assert torch.allclose(out, avg_pool2d(picture, 8), atol=1e-6)


def test_memory_decides() -> None:
    assert not needed(8e9, 384, 672)
    assert needed(3e9, 384, 672)


@pytest.mark.slow
def test_a_clip_decoded_in_tiles_is_nearly_the_same() -> None:
    """The real VAE's modules, small: tiles differ by what norms over the whole picture do, and not at their seams."""
    from diffusers import AutoencoderKLCogVideoX

    tensors, facts = golden("void_pass1")
    vae = AutoencoderKLCogVideoX(**facts["config"]["vae"]).eval()
    vae.load_state_dict({k.removeprefix("weights/vae/"): v for k, v in tensors.items() if "weights/vae/" in k})
    torch.manual_seed(0)
    smooth = interpolate(torch.rand(1, 3 * 5, 8, 12), size=(128, 192), mode="bicubic").view(1, 3, 5, 128, 192)
    with torch.inference_mode():
        latents = encode(vae, smooth * 2 - 1) / vae.config.scaling_factor
        whole = decode(vae, latents)
        parts = tiled(lambda part: decode(vae, part), latents, 12, 4)
    assert parts.shape == whole.shape
    assert (parts - whole).abs().mean() < 0.15 * whole.std()
