"""Low-rank changes, in the forms that files come in."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vremove_cli.errors import ModelError
from vremove_cli.networks.lora import merge_lora

BASE = {
    "blocks.0.self_attn.q.weight": torch.ones(4, 6), "blocks.0.self_attn.q.bias": torch.zeros(4),
    "blocks.0.modulation": torch.zeros(1, 6, 4), "head.head.weight": torch.zeros(2, 4),
    "head.modulation": torch.zeros(1, 2, 4),
}  # fmt: skip
Q = "blocks.0.self_attn.q"
UP, DOWN = torch.arange(8.0).view(4, 2), torch.arange(12.0).view(2, 6)


@given(st.sampled_from(["", "diffusion_model."]), st.sampled_from([("lora_down", "lora_up"), ("lora_A", "lora_B")]),
       st.sampled_from([None, 1.0, 3.0]), st.booleans())  # fmt: skip
def test_a_pair_is_added_in_every_naming(
    prefix: str, names: tuple[str, str], alpha: float | None, scaled: bool
) -> None:
    file = {f"{prefix}{Q}.{names[0]}.weight": DOWN, f"{prefix}{Q}.{names[1]}.weight": UP}
    if alpha is not None:
        file[f"{prefix}{Q}.alpha"] = torch.tensor(alpha)
    out = merge_lora(dict(BASE), file, 0.5, "x", scaled=scaled)
    factor = 0.5 * (alpha / 2 if alpha is not None and scaled else 1)
    assert torch.allclose(out[f"{Q}.weight"], 1 + factor * UP @ DOWN)
    assert torch.equal(out[f"{Q}.bias"], BASE[f"{Q}.bias"])


def test_underscores_may_stand_for_dots() -> None:
    name = "lora_unet__blocks_0_self_attn_q"
    out = merge_lora(dict(BASE), {f"{name}.lora_down.weight": DOWN, f"{name}.lora_up.weight": UP}, 1.0, "x")
    assert torch.allclose(out[f"{Q}.weight"], 1 + UP @ DOWN)


def test_differences_go_to_weight_bias_and_modulation() -> None:
    file = {
        f"{Q}.diff_b": torch.ones(4), "blocks.0.diff_m": torch.ones(1, 6, 4), "head.head.diff": torch.ones(2, 4),
        "head.diff_m": torch.ones(1, 2, 4),
    }  # fmt: skip
    out = merge_lora(dict(BASE), file, 0.5, "x")
    for key in (f"{Q}.bias", "blocks.0.modulation", "head.head.weight", "head.modulation"):
        assert (out[key] == 0.5).all(), key
    assert torch.equal(out[f"{Q}.weight"], BASE[f"{Q}.weight"])


def test_a_pair_counts_before_a_difference_of_the_same_weight() -> None:
    file = {f"{Q}.lora_down.weight": DOWN, f"{Q}.lora_up.weight": UP, f"{Q}.diff": torch.full((4, 6), 9.0)}
    assert torch.allclose(merge_lora(dict(BASE), file, 1.0, "x")[f"{Q}.weight"], 1 + UP @ DOWN)


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ({"blocks.7.self_attn.q.lora_up.weight": UP}, "is unknown"),
        ({"lora_unet__blocks_0_self_attn_z.lora_up.weight": UP}, "is unknown"),
        ({f"{Q}.rank": UP}, "is unknown"),
        ({f"{Q}.lora_up.weight": UP}, "one half of a pair"),
        ({f"{Q}.lora_up.weight": UP, f"{Q}.lora_down.weight": DOWN[:, :5]}, r"is \(4, 5\) and not \(4, 6\)"),
        ({"blocks.0.self_attn.q.diff_m": UP}, "is not in the model"),
    ],
)
def test_what_fits_nothing_is_an_error(file: dict[str, torch.Tensor], told: str) -> None:
    state = dict(BASE)
    good = {"head.head.diff": torch.ones(2, 4)}
    with pytest.raises(ModelError, match=told):
        merge_lora(state, {**good, **file}, 1.0, "x")
    assert all(state[k] is BASE[k] for k in BASE)
