"""What the benchmarks of networks share: random weights, the machine's own speed, waiting for the GPU."""

import argparse
import sys
import time
from typing import Any

import torch

from vremove_cli.removers.common import placement


def options(parser: argparse.ArgumentParser) -> tuple[argparse.Namespace, str, torch.dtype]:
    """What is asked for, with the options that all have, and the device and type it runs in."""
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--modes", default="resident,fp8,offload")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--backend")
    args = parser.parse_args()
    if torch.cuda.is_available():
        return args, "cuda", torch.bfloat16
    if not args.tiny:
        sys.exit("torch sees no GPU: add --tiny to try the script")
    return args, "cpu", torch.float32


def ready(model: Any, mode: Any, args: argparse.Namespace, device: str) -> Any:
    """A transformer as it is asked for."""
    model = placement.place(model, device, placement.MemoryMode(mode))
    if args.backend:
        model.set_attention_backend(args.backend)
    if args.compile:
        model.compile()
    return model


def filled(model: Any, dtype: torch.dtype) -> Any:
    """A transformer of the meta device with small random weights."""
    model = model.to(dtype).to_empty(device="cpu").eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(min(parameter.numel(), 1 << 16), generator=generator).to(dtype) * 0.02
            parameter.view(-1).copy_(noise.repeat(-(-parameter.numel() // noise.numel()))[: parameter.numel()])
    return model


def matmul_rate(device: str, dtype: torch.dtype, side: int) -> float:
    """Multiplications and additions a second of square products."""
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    for _ in range(3):
        a @ b
    wait(device)
    started = time.perf_counter()
    for _ in range(10):
        a @ b
    wait(device)
    return 10 * 2 * side**3 / (time.perf_counter() - started)


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
