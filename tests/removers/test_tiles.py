"""Tiles of a picture that a VAE cannot take whole."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import avg_pool2d, interpolate

from support.twins import golden
from vremove_cli.networks import wan
from vremove_cli.networks.cogvideox import decode, encode
from vremove_cli.removers.common import vae_tiling


@settings(deadline=None, max_examples=30)
@given(st.integers(4, 70), st.integers(4, 70))
def test_what_sees_one_pixel_is_the_same_in_tiles(height: int, width: int) -> None:
    picture = torch.rand(1, 2, height, width)
    out = vae_tiling.decode_tiled(lambda part: interpolate(part, scale_factor=4, mode="nearest"), picture, 32)
    assert torch.allclose(out, interpolate(picture, scale_factor=4, mode="nearest"), atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 120), st.integers(1, 120))
def test_tiles_of_pixels_meet_at_latents(rows: int, columns: int) -> None:
    picture = torch.rand(1, 1, 8 * rows, 8 * columns)
    out = vae_tiling.encode_tiled(lambda part: avg_pool2d(part, 8), picture, 32)
    assert torch.allclose(out, avg_pool2d(picture, 8), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(480, 720), (384, 672), (448, 784)])
def test_the_usual_sizes_are_encoded_in_tiles(size: tuple[int, int]) -> None:
    tensors, _ = golden("wan_vae")
    state = {k.removeprefix("weights/"): v for k, v in tensors.items() if k.startswith("weights/")}
    vae = wan.load_vae(state, "x", torch.float32)
    small = torch.rand(1, 3, 1, 12, 20)
    picture = interpolate(small[:, :, 0], size=size, mode="bicubic")[:, :, None] * 2 - 1
    with torch.inference_mode():
        parts = vae_tiling.encode_tiled(lambda part: wan.encode(vae, part), picture, 32)
    assert parts.shape == (1, 16, 1, size[0] // 8, size[1] // 8)
    assert torch.isfinite(parts).all()


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
        parts = vae_tiling.decode_tiled(lambda part: decode(vae, part), latents, 12)
    assert parts.shape == whole.shape
    assert (parts - whole).abs().mean() < 0.15 * whole.std()
