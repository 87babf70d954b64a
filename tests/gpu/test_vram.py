"""The GPU memory that is computed, against the bytes that full-size networks take on the meta device.

`tests/benchmarks/vram.py` prints the whole table.
"""

from collections.abc import Iterator

import pytest

from support import counted_sdxl, counted_vram
from support.counted_vram import (
    MODES,
    REMOVERS,
    SIZES,
    bytes_of,
    counted,
    image_encoder_bytes,
    network_of,
    stepping,
    weights,
)
from support.counted_vram import vae as make_vae
from vremove_cli.removers.common.vram_estimate import MemoryMode, vram_bytes

LIMIT = 0.15
CASES = [(mode, SIZES[k % len(SIZES)]) for k, mode in enumerate(MODES)]


@pytest.fixture(autouse=True, scope="module")
def few_frames() -> Iterator[None]:
    """9 frames in place of the benchmarks' 17: the VAE takes the first alone and then four or eight at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counted_vram, "FRAMES", 9)
        yield


@pytest.mark.slow
@pytest.mark.parametrize("name", REMOVERS)
@pytest.mark.parametrize(("mode", "size"), CASES, ids=[f"{mode.weights}-{mode.tile}" for mode, _ in CASES])
def test_computed_gpu_memory_is_that_of_the_networks(name: str, mode: MemoryMode, size: tuple[int, int]) -> None:
    assert vram_bytes(network_of(name), mode, size) == pytest.approx(counted(name, mode, size), rel=LIMIT)


@pytest.mark.parametrize("name", REMOVERS)
def test_the_bytes_of_weights_are_those_of_the_networks(name: str) -> None:
    network = network_of(name)
    assert [network.resident, network.fp8, network.offload] == [
        weights(name, m) for m in ("resident", "fp8", "offload")
    ]
    assert network.vae.weights == pytest.approx(bytes_of(make_vae(name)), rel=1e-3)
    assert network.beside == pytest.approx(image_encoder_bytes(name), rel=0.01)


def test_guidance_doubles_what_a_step_takes() -> None:
    """The second pass's network runs on the text and on no text together."""
    size = (1280, 720)  # where a step takes more than the VAE in tiles
    said = [vram_bytes(network_of("void"), MemoryMode("offload", 32), size, batch=batch) for batch in (1, 2)]
    found = [stepping("void", size, False, batch) for batch in (1, 2)]
    assert found[1] > 1.9 * found[0]
    assert said[1] - said[0] == pytest.approx(found[1] - found[0], rel=LIMIT)


@pytest.mark.parametrize("mode", MODES[::3], ids=lambda mode: f"{mode.weights}-{mode.tile}")
def test_computed_gpu_memory_of_rorem_is_that_of_its_networks(mode: MemoryMode) -> None:
    found = counted_sdxl.counted(mode, 512)
    assert counted_sdxl.computed(mode, 512) == pytest.approx(found, rel=LIMIT)


def test_guidance_doubles_what_a_step_of_rorem_takes() -> None:
    steps = [counted_sdxl.step(512, batch).peak for batch in (1, 2)]
    own = counted_sdxl.weights("resident")
    assert steps[1] - own == pytest.approx(2 * (steps[0] - own), rel=0.01)
