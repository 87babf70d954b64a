"""RORem: the sampling loop against diffusers' pipeline, full-size weights by name, and the real command."""

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from support import hub as fake
from support import sdxl_twin
from support.clips import planes_of, write_clip
from support.full_size import ROREM
from support.process import Cli
from support.sdxl_twin import LORA_TARGETS
from support.twins import checkpoints
from vremove_cli.errors import ModelError, UsageError
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.networks import lora, rorem_discriminator, sdxl
from vremove_cli.networks.arithmetic import Arithmetic
from vremove_cli.removers.base import Settings, Shot, ShotInfo
from vremove_cli.removers.common import text_cache
from vremove_cli.removers.common.placement import runtime_of
from vremove_cli.removers.common.vae_tiling import vae_runner
from vremove_cli.removers.rorem import model, painting, success
from vremove_cli.removers.rorem.remover import FAST, LARGE, OWN, RoremRemover
from vremove_cli.removers.rorem.success import SuccessJudge
from vremove_cli.weights.load import load_strict
from vremove_cli.weights.store import Checkpoint

CPU = runtime_of(Arithmetic(), half=True)
SIDE = 64
# Counted by hand from the published configurations.
UNET_TENSORS, UNET_PARAMETERS = 1680, 2_567_478_084
ATTENTION_LAYERS, CHANGE_PARAMETERS, HEAD_PARAMETERS = 272, 2_850_816, 78_656_001


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole pipeline of tiny networks."""
    made = tmp_path_factory.mktemp("rorem")
    for name, content in sdxl_twin.rorem_repos()[sdxl_twin.REPO].items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_bytes(content)
    return made


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What is fetched by hand."""
    return sdxl_twin.write_drive_files(tmp_path_factory.mktemp("drive"))


@pytest.fixture(scope="module")
def own(folder: Path) -> Checkpoint:
    return checkpoints({OWN: folder})[OWN]


@pytest.fixture(scope="module", autouse=True)
def _texts_kept_apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("cache")
        patch.setattr(text_cache, "cache_folder", lambda: place)
        yield


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> Any:
    """Diffusers' own, with the same weights."""
    from diffusers import (
        AutoencoderKL,
        EulerDiscreteScheduler,
        StableDiffusionXLInpaintPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    encoders = (
        kind.from_pretrained(folder / name, variant="fp16", dtype=torch.float32)
        for name, kind in (("text_encoder", CLIPTextModel), ("text_encoder_2", CLIPTextModelWithProjection))
    )
    made = StableDiffusionXLInpaintPipeline(
        AutoencoderKL.from_pretrained(folder / "vae", variant="fp16", dtype=torch.float32),
        *encoders,
        *(CLIPTokenizer.from_pretrained(folder / name) for name in ("tokenizer", "tokenizer_2")),
        UNet2DConditionModel.from_pretrained(folder / "unet", variant="fp16", dtype=torch.float32),
        EulerDiscreteScheduler.from_pretrained(folder / "scheduler"),
        force_zeros_for_empty_prompt=False,
    )
    made.set_progress_bar_config(disable=True)
    return made


def picture() -> tuple[torch.Tensor, torch.Tensor]:
    """A picture (1, 3, H, W) in [0, 1], and a hole (1, 1, H, W)."""
    waves = torch.from_numpy(np.random.default_rng(0).random((1, 3, SIDE, SIDE), dtype=np.float32))
    hole = torch.zeros(1, 1, SIDE, SIDE)
    hole[..., 20:44, 24:50] = 1
    return waves, hole


PLAIN = itertools.product([4, 25, 50], [1.0, 0.99, 0.7], [False], [1.0])
GUIDED, DISTILLED = (
    itertools.product([4], [1.0, 0.99, 0.7], [False], [5.0]),
    itertools.product([5], [1.0, 0.99, 0.7], [True], [1.0]),
)


@pytest.mark.parametrize(("steps", "strength", "distilled", "guidance"), [*PLAIN, *GUIDED, *DISTILLED])
def test_painting_equals_diffusers_pipeline(
    pipeline: Any, own: Checkpoint, steps: int, strength: float, distilled: bool, guidance: float
) -> None:
    from diffusers import EulerDiscreteScheduler, LCMScheduler

    start, hole = picture()
    kind = LCMScheduler if distilled else EulerDiscreteScheduler
    pipeline.scheduler = kind.from_config(pipeline.scheduler.config)
    prompt, negative = ("an empty table", "blurry") if guidance > 1 else ("", "")
    seeded = torch.Generator().manual_seed(3)
    with torch.inference_mode():
        wanted = pipeline(
            prompt=prompt, negative_prompt=negative, image=start, mask_image=hole, height=SIDE, width=SIDE,
            num_inference_steps=steps, strength=strength, guidance_scale=guidance, generator=seeded, output_type="pt",
        ).images  # fmt: skip
        networks = painting.Networks(
            model.load_unet(own, [], CPU), model.load_vae(own, CPU), vae_runner(0),
            model.load_scheduler(own, distilled=distilled),
        )  # fmt: skip
        towards, away = (model.encode_prompt(own, text, CPU) for text in (prompt, negative))
        ticks: list[int] = []
        found = painting.paint(
            networks, painting.Schedule(steps, strength, guidance), start * 2 - 1, hole, towards, away,
            torch.Generator().manual_seed(3), ticks.append,
        )  # fmt: skip
    assert float(((found / 2 + 0.5).clamp(0, 1) - wanted).abs().max()) <= 1e-5
    assert ticks == list(range(int(steps * strength)))


@given(st.integers(1, 200))
def test_as_many_steps_are_run_as_are_asked_for(steps: int) -> None:
    assert painting.Schedule.of(steps).steps == steps


def test_the_published_four_steps_are_those_of_the_dossier(own: Checkpoint) -> None:
    scheduler: Any = model.load_scheduler(own, distilled=True)
    schedule = painting.Schedule.of(4)
    scheduler.set_timesteps(schedule.grid)
    assert scheduler.timesteps[schedule.grid - schedule.steps :].tolist() == [799, 599, 399, 199]


def shot(seed: int = 0) -> Shot:
    frames = np.random.default_rng(seed).random((1, SIDE, SIDE, 3), dtype=np.float32)
    mask = np.zeros((1, SIDE, SIDE), bool)
    mask[:, 24:40, 20:44] = True
    nothing = np.zeros_like(mask)
    return Shot(frames, mask, mask, nothing, 0, 0, 0, lambda *_: None, nothing)


@pytest.fixture
def make(folder: Path, drive: dict[str, Path]) -> Callable[..., np.ndarray]:
    """What the remover makes of a shot in two steps."""

    def made(given: Shot | None = None, own_files: tuple[str, ...] = (), **settings: Any) -> np.ndarray:
        known = checkpoints({OWN: folder, FAST: drive[FAST], **{name: drive[name] for name in own_files}})
        remover = RoremRemover(Settings(**{"steps": 2, "checkpoints": known, **settings}))
        (stage,) = remover.stages(ShotInfo((FrameRange(0, 1),), (FrameRange(0, 1),), SIDE, SIDE))
        return remover.run(stage, given or shot(), {}).frames

    return made


def test_a_seed_gives_the_same_picture_again(make: Callable[..., np.ndarray]) -> None:
    first = make(seed=3)
    assert np.array_equal(first, make(seed=3))
    assert not np.array_equal(first, make(seed=4))


def test_less_noise_is_added_where_a_keyframe_must_agree(make: Callable[..., np.ndarray]) -> None:
    given = shot()
    assert given.agree is not None
    free = make(given, steps=10)
    given.agree[:] = given.inpaint_mask
    assert not np.array_equal(make(given, steps=10), free)


def test_a_draft_runs_four_steps_with_the_lora(make: Callable[..., np.ndarray]) -> None:
    ticks: list[tuple[int, int]] = []
    given = shot()
    object.__setattr__(given, "tick", lambda *done: ticks.append(done))
    make(given, quality="draft", steps=None)
    assert ticks == [(n, 4) for n in (1, 2, 3, 4)]


def test_a_prompt_and_one_to_lead_away_from_change_the_picture(make: Callable[..., np.ndarray]) -> None:
    guided = make(prompt="an empty table", guidance=5.0)
    assert not np.array_equal(guided, make())
    assert not np.array_equal(guided, make(prompt="an empty table", negative_prompt="blurry", guidance=5.0))


def test_the_mixed_unet_paints_large_pictures_where_it_is_given(folder: Path, drive: dict[str, Path]) -> None:
    small = RoremRemover(Settings(checkpoints=checkpoints({OWN: folder})))
    both = RoremRemover(Settings(checkpoints=checkpoints({OWN: folder, LARGE: drive[LARGE]})))
    assert [small.size(900, 900), both.size(900, 900), both.size(400, 400)] == [(512,) * 2, (1024,) * 2, (512,) * 2]


def test_a_text_is_encoded_once_on_a_machine(own: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    first = model.encode_prompt(own, "table", CPU)
    assert first.states.shape[:2] == (1, 77)
    monkeypatch.setattr(sdxl, "encode_texts", lambda *_: pytest.fail("it was loaded again"))
    assert torch.equal(model.encode_prompt(own, "table", CPU).pooled, first.pooled)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"negative_prompt": "blurry"}, "does nothing without guidance"),
        ({"size": (768, 512)}, "paints squares"),
        ({"steps": 50, "quality": "draft"}, "takes 49 steps at most"),
        ({"steps": 300}, "takes 250 steps at most"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        RoremRemover(Settings(**settings))


def full_size() -> tuple[Any, dict[str, torch.Tensor]]:
    unet = sdxl.make_unet(ROREM)
    return unet, dict(unet.state_dict())


def test_full_size_weights_are_accepted_by_name() -> None:
    unet, state = full_size()
    assert len(state) == UNET_TENSORS
    assert sum(v.numel() for v in state.values()) == UNET_PARAMETERS
    load_strict(unet, state, "x")


@pytest.mark.parametrize("fault", ["missing", "unknown", "and not"])
def test_full_size_weights_that_do_not_fit_are_refused(fault: str) -> None:
    unet, state = full_size()
    if fault == "missing":
        del state["mid_block.resnets.0.conv1.weight"]
    elif fault == "unknown":
        state["mid_block.resnets.9.conv1.weight"] = torch.empty(1)
    else:
        state["conv_in.weight"] = torch.empty(320, 4, 3, 3)  # of a UNet that does not inpaint
    with pytest.raises(ModelError, match=fault):
        load_strict(unet, state, "x")


def named(change: dict[str, torch.Tensor], naming: str) -> dict[str, torch.Tensor]:
    """A LoRA's tensors as another library names them."""
    if naming == "peft":
        return change
    if naming == "diffusers":
        return {k.replace("lora_A", "lora.down").replace("lora_B", "lora.up"): v for k, v in change.items()}
    out = {}
    for key, value in change.items():
        layer, _, part = key.removeprefix("unet.").rpartition(".lora_")
        half = "lora_down" if part.startswith("A") else "lora_up"
        out[f"lora_unet_{layer.replace('.', '_')}.{half}.weight"] = value
        out[f"lora_unet_{layer.replace('.', '_')}.alpha"] = torch.tensor(64.0)
    return out


def meta_lora(unet: Any, rank: int, targets: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """A LoRA without values."""
    out = {}
    for name, layer in unet.named_modules():
        if name.endswith(targets) and isinstance(layer, (torch.nn.Linear, torch.nn.Conv2d)):
            rows, columns, *kernel = layer.weight.shape
            out[f"unet.{name}.lora_A.weight"] = torch.empty(rank, columns, *kernel, device="meta")
            out[f"unet.{name}.lora_B.weight"] = torch.empty(rows, rank, *(1 for _ in kernel), device="meta")
    return out


@pytest.mark.parametrize("naming", ["peft", "diffusers", "kohya"])
def test_the_full_size_lora_is_accepted_in_every_naming(naming: str) -> None:
    unet, state = full_size()
    change = named(meta_lora(unet, 64, LORA_TARGETS), naming)
    assert lora.merge_lora(state, change, 1.0, "x").keys() == unet.state_dict().keys()


@pytest.mark.parametrize("fault", ["has no change", "is unknown", "and not"])
def test_the_success_networks_lora_must_be_whole(fault: str) -> None:
    unet = sdxl.make_unet(ROREM)
    for part in ("up_blocks", "conv_norm_out", "conv_out"):
        delattr(unet, part)
    change, state = meta_lora(unet, 4, rorem_discriminator.ATTENTION), dict(unet.state_dict())
    layers = rorem_discriminator.attention_layers(unet)
    assert len(layers) == ATTENTION_LAYERS
    assert len(change) == 2 * ATTENTION_LAYERS
    assert sum(v.numel() for v in change.values()) == CHANGE_PARAMETERS
    lora.merge_lora(state, change, 1.0, "x", modules=layers)
    first = next(iter(change))
    if fault == "has no change":
        change = {k: v for k, v in change.items() if not k.startswith(f"unet.{layers[0]}.")}
    elif fault == "is unknown":
        change["unet.up_blocks.0.attentions.0.proj_in.lora_A.weight"] = torch.empty(4, 4, device="meta")
    else:
        change[first] = torch.empty(4, 7, device="meta")
    with pytest.raises(ModelError, match=fault):
        lora.merge_lora(state, change, 1.0, "x", modules=layers)


def test_the_full_size_head_is_the_published_one() -> None:
    head = rorem_discriminator.make_head(1280)
    assert list(head.state_dict()) == [f"{n}.{part}" for n in (0, 1, 3, 4, 6, 7, 9) for part in ("weight", "bias")]
    assert sum(p.numel() for p in head.parameters()) == HEAD_PARAMETERS
    assert head(torch.empty(1, 1280, 16, 16, device="meta")).shape == (1, 1, 1, 1)


@pytest.fixture(scope="module")
def judge(drive: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> SuccessJudge:
    """The success network on tiny weights."""
    base = tmp_path_factory.mktemp("base")
    for name, content in sdxl_twin.rorem_repos()[sdxl_twin.BASE_REPO].items():
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_bytes(content)
    known = checkpoints({success.JUDGE: drive[success.JUDGE], success.BASE: base})
    return SuccessJudge(known[success.JUDGE], known[success.BASE], Arithmetic())


def test_a_picture_has_one_score(judge: SuccessJudge) -> None:
    drawn, mask = still((20, 20, 220))
    before, _ = still((230, 240, 10))
    first = judge(before, drawn, mask > 0)
    assert 0 <= first <= 1
    assert judge(before, drawn, mask > 0) == first
    assert judge(drawn, before, mask > 0) != first


def test_the_score_is_that_of_the_square_round_the_hole(judge: SuccessJudge) -> None:
    """What is far away does not count."""
    drawn, mask = (np.pad(a, [(600, 0), (600, 0), (0, 0)][: a.ndim]) for a in still((20, 20, 220)))
    other = drawn.copy()
    other[:50] = 255
    assert judge(drawn, drawn, mask > 0) == judge(other, other, mask > 0)


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    with fake.serving({name: fake.Repo(files) for name, files in sdxl_twin.rorem_repos().items()}) as server:
        made = Cli(server, tmp_path_factory.mktemp("cli"))
        made.env["VREMOVE_ACCEPT_LICENSE"] = "OpenRAIL++-M"
        made.env["XDG_CACHE_HOME"] = str(made.home / "cache")
        yield made


def still(colour: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A textured picture with a disc on it, and the disc's mask."""
    noise = np.random.default_rng(5).normal(128, 60, (96, 144, 3)).astype(np.float32)
    drawn = np.clip((cv2.GaussianBlur(noise, (0, 0), 3) - 128) * 3 + 128, 0, 255).astype(np.uint8)
    mask = np.zeros((96, 144), np.uint8)
    cv2.circle(mask, (70, 50), 14, 255, -1)
    drawn[mask > 0] = colour
    return drawn, mask


@pytest.mark.slow
def test_nothing_of_the_object_reaches_the_result(cli: Cli) -> None:
    results: list[Any] = []
    for colour in ((20, 20, 220), (230, 240, 10)):
        drawn, mask = still(colour)
        cv2.imwrite(str(cli.home / "photo.png"), drawn)
        cv2.imwrite(str(cli.home / "mask.png"), mask)
        cli("erase", "photo.png", "--mask", "mask.png", "--remover", "rorem", "--steps", 2, "--size", "64x64",
            "--overwrite")  # fmt: skip
        results.append(cv2.imread(str(cli.home / "photo.clean.png")))
        far = ~cv2.dilate(mask, np.ones((31, 31), np.uint8)).astype(bool)
        assert np.array_equal(results[-1][far], drawn[far])
        assert not np.array_equal(results[-1][mask > 0], drawn[mask > 0])
    assert np.array_equal(results[0], results[1])


@pytest.mark.slow
def test_what_lies_on_a_drive_is_asked_for(cli: Cli) -> None:
    drawn, mask = still((20, 20, 220))
    cv2.imwrite(str(cli.home / "photo.png"), drawn)
    cv2.imwrite(str(cli.home / "mask.png"), mask)
    said = cli.fails("erase", "photo.png", "--mask", "mask.png", "--remover", "rorem", "--quality", "draft",
                     "-o", "no.png")  # fmt: skip
    assert "Google Drive" in said
    assert "--weights rorem-lora=" in said


@pytest.mark.slow
def test_the_best_of_some_candidates_is_kept_by_the_learnt_score(cli: Cli, drive: dict[str, Path]) -> None:
    drawn, mask = still((20, 20, 220))
    cv2.imwrite(str(cli.home / "photo.png"), drawn)
    cv2.imwrite(str(cli.home / "mask.png"), mask)
    judged = ("--weights", f"rorem-score={drive['rorem-score']}")
    said, _ = cli("erase", "photo.png", "--mask", "mask.png", "--remover", "rorem", "--steps", 2, "--size", "64x64",
                  "--candidates", 3, *judged, "--overwrite", "--json")  # fmt: skip
    (attempts,) = json.loads(said)["attempts"]
    assert len(attempts["scores"]) == 3
    assert attempts["scores"][attempts["kept"]] == max(attempts["scores"])
    plan = json.loads((cli.home / "photo.clean.png.vremove.json").read_text())["plan"]
    assert [c["model"]["name"] for c in plan["checkpoints"]] == ["rorem", "rorem-score", "sdxl-inpainting"]
    scored, _ = cli("score", "photo.clean.png", *judged, "--json")
    assert 0 <= json.loads(scored)["success_median"] <= 1


@pytest.mark.slow
def test_keyframes_of_a_clip_are_painted_and_carried(cli: Cli) -> None:
    drawn, mask = still((20, 20, 220))
    clip = write_clip(
        cli.home / "clip.mkv", codec="ffv1", pix_fmt="bgr0", size=(144, 96), frames=8, picture=lambda t, w, h: drawn
    )
    masks = write_clip(
        cli.home / "mask.mkv", codec="ffv1", pix_fmt="bgr0", size=(144, 96), frames=8,
        picture=lambda t, w, h: np.repeat(mask[..., None], 3, 2),
    )  # fmt: skip
    said, _ = cli("erase", clip, "--mask", masks, "--remover", "rorem", "--steps", 2, "--size", "64x64", "--retry", 1,
                  "--min-score", 1, "-o", "clean.mkv", "--json")  # fmt: skip
    (attempts,) = json.loads(said)["attempts"]  # of one keyframe
    assert len(attempts["scores"]) == 2
    frames = planes_of(cli.home / "clean.mkv")
    assert all(np.array_equal(a, b) for f in frames[1:] for a, b in zip(f, frames[0], strict=True))
