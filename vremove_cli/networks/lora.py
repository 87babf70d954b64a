"""Low-rank changes to a transformer's weights, merged into them by their original names.

A file may hold pairs (X.lora_down and X.lora_up, or X.lora_A and X.lora_B, with X.alpha or without) and plain
differences (X.diff of a weight, X.diff_b of a bias, X.diff_m of a block's modulation). Modules are named by their path,
with or without `diffusion_model.` before it, or as `lora_unet__` with underscores for the dots.
"""

from collections.abc import Mapping
from typing import Any

from vremove_cli.errors import ModelError

_PAIRS = {"lora_down.weight": "down", "lora_A.weight": "down", "lora_up.weight": "up", "lora_B.weight": "up"}
_DIFFERENCES = {"diff": "weight", "diff_b": "bias", "diff_m": "modulation"}
_PREFIX, _FLAT = "diffusion_model.", "lora_unet__"
_SHOWN = 5


def merge(
    state: dict[str, Any], lora: Mapping[str, Any], strength: float, path: str, *, scaled: bool = True
) -> dict[str, Any]:
    """A transformer's tensors (original names) with a file's changes added, so many times `strength`.

    Unless `scaled` a pair's alpha counts for nothing. A weight with a pair and a difference gets the pair alone. Raises
    `ModelError` for a change of something that is not there, or is of another shape.
    """
    changes, wrong = _sorted_out(lora, {k.rpartition(".")[0] for k in state})
    out = dict(state)
    for module, parts in changes.items():
        if "up" in parts and "down" in parts:
            factor = strength * (_scale(parts) if scaled else 1.0)
            wrong += _add(out, f"{module}.weight", _product(parts), factor)
        elif "up" in parts or "down" in parts:
            wrong.append(f"{module} has one half of a pair")
        for kind in _DIFFERENCES.values():
            if kind in parts and not (kind == "weight" and "up" in parts):
                wrong += _add(out, f"{module}.{kind}", parts[kind], strength)
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise ModelError(
            f"the changes in {path} do not fit the model: {'; '.join(wrong[:_SHOWN])}{more}",
            "check that they were made for it",
        )
    return out


def _sorted_out(lora: Mapping[str, Any], modules: set[str]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """A file's tensors by module and part, and what is wrong with it."""
    flat = {m.replace(".", "_"): m for m in modules}
    changes: dict[str, dict[str, Any]] = {}
    wrong = []
    for key, value in lora.items():
        name, part = _taken_apart(key)
        if name.startswith(_FLAT):
            name = flat.get(name.removeprefix(_FLAT), "")
        name = name.removeprefix(_PREFIX)
        if not part or name not in modules:
            wrong.append(f"{key} is unknown")
        else:
            changes.setdefault(name, {})[part] = value
    return changes, wrong


def _taken_apart(key: str) -> tuple[str, str]:
    """A key's module and which part of its change it is; "" for neither."""
    for suffix, part in (*_PAIRS.items(), *_DIFFERENCES.items(), ("alpha", "alpha")):
        if key.endswith(f".{suffix}"):
            return key.removesuffix(f".{suffix}"), part
    return key, ""


def _scale(parts: Mapping[str, Any]) -> float:
    return float(parts["alpha"]) / parts["down"].shape[0] if "alpha" in parts else 1.0


def _product(parts: Mapping[str, Any]) -> Any:
    up, down = parts["up"], parts["down"]
    return up.flatten(1) @ down.flatten(1)


def _add(state: dict[str, Any], key: str, change: Any, factor: float) -> list[str]:
    """Add a change in the weight's own type; gives what is wrong with it."""
    if key not in state:
        return [f"{key} is not in the model"]
    weight = state[key]
    if change.numel() != weight.numel() or change.shape[0] != weight.shape[0]:
        return [f"{key} is {tuple(change.shape)} and not {tuple(weight.shape)}"]
    state[key] = weight + factor * change.to(weight.dtype).reshape(weight.shape)
    return []
