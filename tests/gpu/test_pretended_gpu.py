"""The pretended GPU: it refuses what CUDA refuses, allows what CUDA allows, and counts what happens."""

import gc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from support.pretended_gpu import DeviceMismatchError, PretendedGpu, pretended_gpu


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture
def gpu() -> Iterator[PretendedGpu]:
    with pretended_gpu() as made:
        yield made


def there(*shape: int) -> torch.Tensor:
    """A tensor on the GPU."""
    return torch.arange(float(np.prod(shape)), device="cuda").reshape(shape)


def here(*shape: int) -> torch.Tensor:
    """A tensor on the CPU."""
    return torch.arange(float(np.prod(shape))).reshape(shape)


@pytest.mark.parametrize(
    "mix",
    [
        lambda: there(3) + here(3),
        lambda: here(3) + there(3),
        lambda: here(3) + there(3)[0],
        lambda: here(3)[0].add_(there(3)[0]),
        lambda: torch.cat([there(3), here(3)]),
        lambda: torch.cat([there(1), here(1)[0][None]]),
        lambda: there(3, 3) @ here(3, 3),
        lambda: torch.nn.functional.linear(there(3), here(2, 3)),
        lambda: torch.nn.functional.scaled_dot_product_attention(there(1, 2, 4), here(1, 2, 4), there(1, 2, 4)),
        lambda: torch.nn.functional.embedding(torch.tensor([1]), there(3, 3)),
        lambda: here(3)[torch.tensor([1, 2], device="cuda")],
        lambda: there(3).index_put_((torch.tensor([0, 1]),), here(2)),
        lambda: there(3).gather(0, torch.tensor([1])),
        lambda: torch.nn.Linear(3, 3).to("cuda")(here(3)),
    ],
)
def test_tensors_of_two_devices_are_refused(gpu: PretendedGpu, mix: Callable[[], Any]) -> None:
    with pytest.raises(DeviceMismatchError, match="same device"):
        mix()


@pytest.mark.parametrize(
    ("allowed", "value"),
    [
        (lambda: there(3) * here(3)[2], [0, 2, 4]),
        (lambda: here(3)[2] - there(3), [2, 1, 0]),
        (lambda: torch.where(there(3) > 1, there(3), here(1)[0]), [0, 0, 2]),
        (lambda: there(3)[torch.tensor([2, 0])], [2, 0]),
        (lambda: there(3)[torch.tensor([True, False, True])], [0, 2]),
        (lambda: there(3)[torch.tensor(1, device="cuda")], 1),
        (lambda: there(3).index_put_((torch.tensor([0]),), torch.tensor(7.0)), [7, 1, 2]),
        (lambda: there(3).copy_(here(3) + 1), [1, 2, 3]),
        (lambda: there(4).view_as(here(2, 2)), [[0, 1], [2, 3]]),
        (lambda: torch.stack([there(1), there(1)]), [[0], [0]]),
        (lambda: there(2).new_tensor([5.0]), [5]),
        (lambda: torch.zeros_like(there(2)), [0, 0]),
        (lambda: torch.as_tensor([3, 4], device="cuda"), [3, 4]),
        (lambda: there(3).to(torch.float8_e4m3fn).to(torch.float32), [0, 1, 2]),
    ],
)
def test_what_cuda_allows_gives_a_tensor_on_the_gpu(
    gpu: PretendedGpu, allowed: Callable[[], torch.Tensor], value: list[float]
) -> None:
    found = allowed()
    assert found.device == torch.device("cuda", 0)
    assert found.is_cuda
    assert found.tolist() == value


def test_a_tensor_on_the_gpu_is_no_array(gpu: PretendedGpu) -> None:
    with pytest.raises(TypeError, match="numpy"):
        np.asarray(there(3))


def test_a_moved_module_is_on_the_gpu_and_comes_back(gpu: PretendedGpu) -> None:
    module = torch.nn.Linear(3, 3).to("cuda", torch.bfloat16)
    assert {p.device.type for p in module.parameters()} == {"cuda"}
    assert module(there(3).bfloat16()).dtype == torch.bfloat16
    module.to("cpu")
    assert {p.device.type for p in module.parameters()} == {"cpu"}


def test_nothing_is_copied_where_a_tensor_is_on_the_device_already(gpu: PretendedGpu) -> None:
    tensor = there(3)
    assert tensor.to("cuda") is tensor
    assert here(3).cpu().device.type == "cpu"
    assert not gpu.to_gpu.counts + gpu.to_host.counts


def test_copies_are_counted_by_line_with_their_bytes(gpu: PretendedGpu) -> None:
    for _ in range(3):
        moved = here(5).to("cuda")
    moved.cpu()
    ((line, count),) = gpu.to_gpu.counts.items()
    assert "test_pretended_gpu.py:" in line
    assert (count, gpu.to_gpu.sizes[line]) == (3, 60)
    assert (gpu.to_host.counts.total(), gpu.to_host.sizes.total()) == (1, 20)


def test_a_copy_blocks_unless_it_is_told_not_to(gpu: PretendedGpu) -> None:
    here(5).to("cuda", non_blocking=True)
    assert gpu.to_gpu.blocking.total() == 0
    there(5).copy_(here(5))
    assert gpu.to_gpu.blocking.total() == 1


@pytest.mark.parametrize(
    "wait",
    [
        lambda: int(there(3)[1].item()),
        lambda: bool(there(3)[1] > 0),
        lambda: float(there(3)[1]),
        lambda: there(3).nonzero(),
        lambda: there(3)[there(3) > 1],
        lambda: torch.where(there(3) > 1),
        lambda: torch.equal(there(3), there(3)),
        lambda: here(3)[torch.tensor(1, device="cuda")],
        lambda: torch.tensor([there(3)[1], 2.0]),
        lambda: torch.linalg.solve(there(1, 1) + 1, there(1)),
        lambda: torch.cuda.synchronize(0),
    ],
)
def test_an_operation_that_makes_the_host_wait_is_counted(gpu: PretendedGpu, wait: Callable[[], Any]) -> None:
    wait()
    assert gpu.syncs.total() == 1
    assert "test_pretended_gpu.py:" in next(iter(gpu.syncs))


@pytest.mark.parametrize(
    "run",
    [
        lambda: there(3) * 2,
        lambda: there(3) * here(3)[1],
        lambda: there(3)[1:],
        lambda: there(3).repeat_interleave(2),
        lambda: there(3)[torch.tensor([True, False, True])],
        lambda: int(here(3)[1].item()),
    ],
)
def test_other_operations_do_not_make_the_host_wait(gpu: PretendedGpu, run: Callable[[], Any]) -> None:
    run()
    assert not gpu.syncs


def test_freed_memory_is_given_back(gpu: PretendedGpu) -> None:
    tensor = torch.zeros(1000, device="cuda")
    view = tensor[:10]
    del tensor
    assert gpu.allocated() == 4000
    del view
    assert gpu.allocated() == 0
    assert gpu.peak == torch.cuda.max_memory_allocated() == 4000


def test_the_peak_does_not_count_what_was_freed_before(gpu: PretendedGpu) -> None:
    for _ in range(10):
        torch.zeros(1000, device="cuda").add_(1)
    assert gpu.peak == 4000


def test_a_new_peak_is_measured_once_it_is_reset(gpu: PretendedGpu) -> None:
    torch.zeros(1000, device="cuda").add_(1)
    torch.cuda.reset_peak_memory_stats()
    torch.zeros(10, device="cuda").add_(1)
    assert torch.cuda.max_memory_allocated() == 40


def test_freed_memory_stays_reserved_until_the_cache_is_emptied(gpu: PretendedGpu) -> None:
    del_me = torch.zeros(1000, device="cuda")
    del del_me
    assert torch.cuda.memory_reserved() == 4000
    assert torch.cuda.mem_get_info() == (gpu.total - 4000, gpu.total)
    torch.cuda.empty_cache()
    assert torch.cuda.mem_get_info() == (gpu.total, gpu.total)


def test_an_allocation_beyond_the_memory_raises_and_takes_nothing() -> None:
    with pretended_gpu(total_bytes=5000) as gpu:
        held = torch.zeros(1000, device="cuda")
        with pytest.raises(torch.OutOfMemoryError, match="out of memory"):
            held.repeat(2)
        assert gpu.allocated() == 4000
        del held
        assert torch.zeros(1250, device="cuda").is_cuda
        assert gpu.refused == 1


def test_a_generator_draws_on_its_own_device_alone(gpu: PretendedGpu) -> None:
    own = torch.Generator("cuda").manual_seed(1)
    assert own.device.type == "cuda"
    assert torch.randn(3, generator=own, device="cuda").is_cuda
    with pytest.raises(RuntimeError, match="for generator"):
        torch.randn(3, generator=own)
    with pytest.raises(RuntimeError, match="for generator"):
        torch.randn(3, generator=torch.Generator(), device="cuda")


def test_a_card_before_ampere_has_no_bfloat16() -> None:
    with pretended_gpu(capability=(7, 5)):
        assert torch.cuda.get_device_capability() == (7, 5)
        assert torch.cuda.get_device_properties(0).major == 7
        assert not torch.cuda.is_bf16_supported()


def test_pinned_memory_is_the_hosts_and_counted(gpu: PretendedGpu) -> None:
    pinned = here(5).pin_memory()
    assert pinned.is_pinned()
    assert pinned.device.type == "cpu"
    assert gpu.peak_pinned == 20
    with pytest.raises(RuntimeError, match="cannot pin"):
        there(5).pin_memory()


def test_streams_and_events_are_there(gpu: PretendedGpu) -> None:
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        there(3).record_stream(stream)
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.Event().record()
    assert not gpu.syncs
    stream.synchronize()
    assert gpu.syncs.total() == 1


def test_the_meta_device_is_left_alone(gpu: PretendedGpu) -> None:
    with torch.device("meta"):
        module = torch.nn.Linear(3, 3).to(torch.bfloat16)
    assert module.weight.device.type == "meta"
    assert torch.zeros_like(there(3), device="meta").device.type == "meta"
    assert gpu.allocated() == 0


def test_all_is_as_before_once_the_block_is_left() -> None:
    before = torch.cuda.is_available, torch.Tensor.to, torch.tensor, torch.Generator
    with pretended_gpu():
        tensor = there(3)
    assert (torch.cuda.is_available, torch.Tensor.to, torch.tensor, torch.Generator) == before
    assert tensor.device.type == "cpu"


def test_what_a_cache_keeps_is_still_on_the_gpu_of_a_later_block() -> None:
    with pretended_gpu():
        kept = there(3)
    with pretended_gpu() as later:
        assert kept.is_cuda
        assert later.allocated() == 0
    del kept
    gc.collect()


class TwoLayers(torch.nn.Module):
    """A module that diffusers can offload and cast."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = torch.nn.ModuleList([torch.nn.Linear(64, 64) for _ in range(4)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        return x


def test_blocks_that_are_offloaded_take_turns_on_the_gpu(gpu: PretendedGpu) -> None:
    from diffusers.hooks import apply_group_offloading

    module, weights = TwoLayers(), 4 * (64 * 64 + 64)
    exact = module(here(64))
    apply_group_offloading(
        module, torch.device("cuda"), torch.device("cpu"), offload_type="block_level", num_blocks_per_group=1,
        use_stream=True, record_stream=True, low_cpu_mem_usage=True,
    )  # fmt: skip
    x = here(64).to("cuda")
    assert torch.equal(module(x).cpu(), exact)
    assert torch.equal(module(x).cpu(), exact)
    assert weights <= gpu.peak < 3 * weights
    assert gpu.allocated() < weights


def test_weights_in_8_bits_are_cast_for_each_layer(gpu: PretendedGpu) -> None:
    from diffusers.hooks import apply_layerwise_casting

    module = TwoLayers()
    exact = module(here(64) / 64)
    apply_layerwise_casting(module, torch.float8_e4m3fn, torch.bfloat16, skip_modules_pattern=None)
    module.to("cuda")
    assert gpu.allocated() == 4 * (64 * 64 + 64)
    found = module((here(64) / 64).to("cuda", torch.bfloat16)).float().cpu()
    assert (found - exact).abs().mean() < 0.1 * exact.std()
