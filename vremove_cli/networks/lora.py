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


def merge_lora(
    state: dict[str, Any], lora: Mapping[str, Any], strength: float, path: str, *, scaled: bool = True
) -> dict[str, Any]:
    """Add a file's changes, so many times `strength`, to a transformer's tensors (original names), in place: there may
    not be room for two of it.

    Unless `scaled` a pair's alpha counts for nothing. A weight with a pair and a difference gets the pair alone. Raises
    `ModelError` for a change of something that is not there, or is of another shape, and then nothing is changed.
    """
    changes, wrong = _sorted_out(lora, {k.rpartition(".")[0] for k in state})
    work: list[tuple[str, Mapping[str, Any], str]] = []
    for module, parts in changes.items():
        pair = "up" in parts and "down" in parts
        if not pair and ("up" in parts or "down" in parts):
            wrong.append(f"{module} has one half of a pair")
        kinds = [k for k in _DIFFERENCES.values() if k in parts and not (k == "weight" and pair)]
        work += [(f"{module}.{k}", parts, k) for k in (["weight"] if pair else []) + kinds]
    wrong += [bad for key, parts, kind in work if (bad := _misfit(state, key, parts, kind))]
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise ModelError(
            f"the changes in {path} do not fit the model: {'; '.join(wrong[:_SHOWN])}{more}",
            "check that they were made for it",
        )
    for key, own, kind in work:
        is_pair, weight = _is_pair(own, kind), state[key]
        factor = strength * (_scale(own) if is_pair and scaled else 1.0)
        change = own["up"].flatten(1) @ own["down"].flatten(1) if is_pair else own[kind]
        state[key] = weight + factor * change.to(weight.dtype).reshape(weight.shape)
    return state


def _is_pair(parts: Mapping[str, Any], kind: str) -> bool:
    return kind == "weight" and "up" in parts and "down" in parts


def _misfit(state: Mapping[str, Any], key: str, parts: Mapping[str, Any], kind: str) -> str:
    """What is wrong with a change; "" when it fits."""
    if key not in state:
        return f"{key} is not in the model"
    shape = tuple(state[key].shape)
    if not _is_pair(parts, kind):
        return "" if tuple(parts[kind].shape) == shape else f"{key} is {tuple(parts[kind].shape)} and not {shape}"
    up, down = parts["up"].flatten(1).shape, parts["down"].flatten(1).shape
    found = (int(up[0]), int(down[1]))
    rest = 1
    for n in shape[1:]:
        rest *= n
    return "" if up[1] == down[0] and found == (shape[0], rest) else f"{key} is {found} and not {shape}"


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
