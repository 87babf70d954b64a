"""RORem's golden file, through the project's code."""

from collections.abc import Iterator
from typing import Any

import torch

from support.parity_void import part
from vremove_cli.networks import rorem_discriminator, sdxl

HERE = "the golden file"


def discriminator(tensors: dict[str, Any], config: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The success network, without and with its LoRA."""
    weights = part(tensors, "weights/")
    head = {k: v for k, v in weights.items() if k.startswith("cls_pred_branch.")}
    body = {k: v for k, v in weights.items() if k not in head}
    text = sdxl.Text(tensors["in/text_embeds"], tensors["in/pooled"])
    given = (tensors["in/sample"], tensors["in/timestep"], text, tensors["in/time_ids"])
    for change, suffix in ((None, ""), (part(tensors, "in/lora/"), "_with_lora")):
        network = rorem_discriminator.load(
            config["unet"], body, head, change, (HERE,) * 3, torch.float32, config["head_groups"]
        )
        middle = rorem_discriminator.middle(network.body, *given)
        if not suffix:
            yield "mid", middle
        logit = rorem_discriminator.logit(network, middle)
        yield f"logit{suffix}", logit
        yield f"score{suffix}", torch.nn.functional.softplus(logit)


ITEMS = {"rorem_discriminator": (discriminator, lambda name, want: 1e-4)}
