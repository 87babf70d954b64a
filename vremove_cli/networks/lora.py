"""LoRA: low-rank changes to a transformer's weights, merged into them by their original names.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021. A file may hold pairs (X.lora_down and X.lora_up,
X.lora.down and X.lora.up, or X.lora_A and X.lora_B, with or without X.alpha) and plain differences (X.diff of a weight,
X.diff_b of a bias, X.diff_m of a block's modulation). X is a module's path, with or without the prefix
`diffusion_model.` or `unet.`, or `lora_unet_` and the path with underscores for dots.
"""

from collections.abc import Collection, Mapping
from math import prod
from typing import TYPE_CHECKING

from vremove_cli.errors import ModelError

if TYPE_CHECKING:
    import torch

    State = Mapping[str, torch.Tensor]

_PAIRS = {
    "lora_down.weight": "down", "lora.down.weight": "down", "lora_A.weight": "down", "lora_A.default.weight": "down",
    "lora_up.weight": "up", "lora.up.weight": "up", "lora_B.weight": "up", "lora_B.default.weight": "up",
}  # fmt: skip
_DIFFERENCES = {"diff": "weight", "diff_b": "bias", "diff_m": "modulation"}
_PREFIXES, _FLAT_PREFIX = ("diffusion_model.", "unet."), "lora_unet_"
_MAX_LISTED = 5  # faults in an error


def merge_lora(
    state: "dict[str, torch.Tensor]",
    lora: "State",
    strength: float,
    path: str,
    *,
    scaled: bool = True,
    device: str | None = None,
    modules: Collection[str] = (),
) -> "dict[str, torch.Tensor]":
    """Add a file's changes to a transformer's tensors in place: there may be no room for two transformers.

    A weight with a pair and a difference gets the pair alone.

    Args:
        state: The transformer's tensors by their original names.
        lora: The file's tensors.
        strength: Factor of all changes.
        path: File to name in an error.
        scaled: Whether a pair's alpha / rank scales it.
        device: Where the sums are computed; each then goes back to where its weight was. None: where that is.
        modules: Modules that the file must change: a file that lacks one is not whole.

    Returns:
        `state`.

    Raises:
        ModelError: A change is missing, of an unknown module, or of another shape. Then nothing is changed.
    """
    changes, faults = _by_module(lora, {k.rpartition(".")[0] for k in state})
    faults += [f"{module} has no change" for module in modules if module not in changes]
    work: list[tuple[str, State, str]] = []
    for module, parts in changes.items():
        pair = "up" in parts and "down" in parts
        if not pair and ("up" in parts or "down" in parts):
            faults.append(f"{module} has one half of a pair")
        kinds = [k for k in _DIFFERENCES.values() if k in parts and not (k == "weight" and pair)]
        work += [(f"{module}.{k}", parts, k) for k in (["weight"] if pair else []) + kinds]
    faults += [fault for key, parts, kind in work if (fault := _misfit(state, key, parts, kind))]
    if faults:
        more = f" and {len(faults) - _MAX_LISTED} more" if len(faults) > _MAX_LISTED else ""
        raise ModelError(
            f"the changes in {path} do not fit the model: {'; '.join(faults[:_MAX_LISTED])}{more}",
            "check that they were made for it",
        )
    for key, own, kind in work:
        is_pair, home = _is_pair(own, kind), state[key].device
        weight = state[key].to(device or home)
        factor = strength * (_scale(own) if is_pair and scaled else 1.0)
        moved = {name: own[name].to(device or home) for name in (("up", "down") if is_pair else (kind,))}
        change = moved["up"].flatten(1) @ moved["down"].flatten(1) if is_pair else moved[kind]
        state[key] = (weight + factor * change.to(weight.dtype).reshape(weight.shape)).to(home)
    return state


def _is_pair(parts: "State", kind: str) -> bool:
    return kind == "weight" and "up" in parts and "down" in parts


def _misfit(state: "State", key: str, parts: "State", kind: str) -> str:
    """The fault of a change; "" if it fits."""
    if key not in state:
        return f"{key} is not in the model"
    shape = tuple(state[key].shape)
    if not _is_pair(parts, kind):
        return "" if tuple(parts[kind].shape) == shape else f"{key} is {tuple(parts[kind].shape)} and not {shape}"
    up, down = parts["up"].flatten(1).shape, parts["down"].flatten(1).shape
    found = (int(up[0]), int(down[1]))
    return "" if up[1] == down[0] and found == (shape[0], prod(shape[1:])) else f"{key} is {found} and not {shape}"


def _by_module(lora: "State", modules: set[str]) -> "tuple[dict[str, dict[str, torch.Tensor]], list[str]]":
    """A file's tensors by module and part, and its faults."""
    by_flat_name = {m.replace(".", "_"): m for m in modules}
    changes: dict[str, dict[str, torch.Tensor]] = {}
    faults = []
    for key, value in lora.items():
        name, part = _split_key(key)
        if name.startswith(_FLAT_PREFIX):
            name = by_flat_name.get(name.removeprefix(_FLAT_PREFIX).removeprefix("_"), "")
        for prefix in _PREFIXES:
            name = name.removeprefix(prefix)
        if not part or name not in modules:
            faults.append(f"{key} is unknown")
        else:
            changes.setdefault(name, {})[part] = value
    return changes, faults


def _split_key(key: str) -> tuple[str, str]:
    """A key's module and the part of its change; the part is "" for an unknown one."""
    for suffix, part in (*_PAIRS.items(), *_DIFFERENCES.items(), ("alpha", "alpha")):
        if key.endswith(f".{suffix}"):
            return key.removesuffix(f".{suffix}"), part
    return key, ""


def _scale(parts: "State") -> float:
    return float(parts["alpha"]) / parts["down"].shape[0] if "alpha" in parts else 1.0
