"""ROSE, UnderEraser and MiniMax-Remover: full-size weights by name, and the real command on tiny networks."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch

from support import hub as fake
from support.clips import mask_of, scene, write_clip
from support.full_size import LARGE, ROSE, SMALL
from support.process import Cli
from support.seams_of import measured
from support.twins import checkpoints, minimax_repos, rose_repos, undereraser_repos
from vremove_cli import settings
from vremove_cli.errors import ExitCode, ModelError, UsageError, explain
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.job.output_paths import make_request
from vremove_cli.job.request import Request
from vremove_cli.networks import lora, minimax, wan, wan_keys
from vremove_cli.networks.arithmetic import Arithmetic
from vremove_cli.removers.base import Settings, Shot, ShotInfo
from vremove_cli.removers.common import text_cache
from vremove_cli.removers.common.placement import runtime_of
from vremove_cli.removers.common.wan import conditioning, model
from vremove_cli.removers.minimax.remover import MiniMaxRemover
from vremove_cli.removers.rose.remover import GUIDANCE, RoseRemover
from vremove_cli.removers.undereraser import remover as undereraser
from vremove_cli.removers.undereraser.remover import UnderEraserRemover
from vremove_cli.weights.load import load_strict

CPU = runtime_of(Arithmetic())


def original(config: dict[str, int]) -> dict[str, Any]:
    """All tensors of an original checkpoint by name, on the meta device: written out from the public description."""
    d, f = config["dim"], config["ffn_dim"]
    out = {"patch_embedding.weight": (d, config["in_dim"], 1, 2, 2), "patch_embedding.bias": (d,)}

    def linear(name: str, rows: int, columns: int) -> None:
        out[f"{name}.weight"], out[f"{name}.bias"] = (rows, columns), (rows,)

    def norm(name: str, width: int) -> None:
        out[f"{name}.weight"], out[f"{name}.bias"] = (width,), (width,)

    for name, columns in (("text_embedding", 4096), ("time_embedding", config["freq_dim"])):
        linear(f"{name}.0", d, columns)
        linear(f"{name}.2", d, d)
    linear("time_projection.1", 6 * d, d)
    norm("img_emb.proj.0", 1280)
    linear("img_emb.proj.1", 1280, 1280)
    linear("img_emb.proj.3", d, 1280)
    norm("img_emb.proj.4", d)
    for n in range(config["num_layers"]):
        block = f"blocks.{n}"
        out[f"{block}.modulation"] = (1, 6, d)
        norm(f"{block}.norm3", d)
        for kind, parts in (("self_attn", "qkvo"), ("cross_attn", ["q", "k", "v", "o", "k_img", "v_img"])):
            for part in parts:
                linear(f"{block}.{kind}.{part}", d, d)
            for name in ("norm_q", "norm_k", *(["norm_k_img"] if kind == "cross_attn" else [])):
                out[f"{block}.{kind}.{name}.weight"] = (d,)
        linear(f"{block}.ffn.0", f, d)
        linear(f"{block}.ffn.2", d, f)
    linear("head.head", 64, d)
    out["head.modulation"] = (1, 2, d)
    return {k: torch.empty(v, device="meta", dtype=torch.bfloat16) for k, v in out.items()}


@pytest.mark.parametrize(("config", "billions"), [(ROSE, 1.56), (LARGE, 16.4)])
def test_the_full_size_is_accepted(config: dict[str, int], billions: float) -> None:
    state = original(config)
    network = wan.load_transformer(config, state, "x", torch.bfloat16)
    assert sum(p.numel() for p in network.parameters()) / 1e9 == pytest.approx(billions, rel=0.01)
    assert network.blocks[0].scale_shift_table.dtype == torch.float32
    assert network.blocks[0].attn1.to_q.weight.dtype == torch.bfloat16


@pytest.mark.parametrize("what", ["missing", "unknown", "not"])
def test_what_does_not_fit_is_refused(what: str) -> None:
    state = original({**ROSE, "num_layers": 2})
    if what == "missing":
        del state["blocks.1.cross_attn.k_img.weight"]
    elif what == "unknown":
        state["ref_conv.weight"] = state["patch_embedding.weight"]
    else:
        state["patch_embedding.weight"] = state["patch_embedding.weight"][:, :16]
    with pytest.raises(ModelError, match=what):
        wan.load_transformer({**ROSE, "num_layers": 2}, state, "x", torch.bfloat16)


def test_both_changes_fit_the_large_one() -> None:
    state = original(LARGE)
    modules = [k.removesuffix(".weight") for k, v in state.items() if k.endswith(".weight") and v.ndim == 2]
    assert len(modules) == 40 * 12 + 8

    def pairs(name: str, rank: int) -> dict[str, Any]:
        out = {}
        for module in modules:
            rows, columns = state[f"{module}.weight"].shape
            key = name.format(module if name.startswith("d") else module.replace(".", "_"))
            out[f"{key}.lora_down.weight"] = torch.empty(rank, columns, device="meta")
            out[f"{key}.lora_up.weight"] = torch.empty(rows, rank, device="meta")
        return out

    fast = pairs("diffusion_model.{}", 64)
    fast |= {f"diffusion_model.blocks.{n}.norm3.diff": torch.empty(5120, device="meta") for n in range(40)}
    merged = lora.merge_lora(state, fast, 1.0, "x", scaled=False)
    merged = lora.merge_lora(merged, pairs("lora_unet__{}", 128), 0.55, "x")
    wan.load_transformer(LARGE, merged, "x", torch.bfloat16)


def test_minimax_at_full_size() -> None:
    network = minimax.make_transformer(SMALL)
    names = set(network.state_dict())
    assert not [n for n in names if "attn2" in n or "text_embedder" in n or "norm2" in n]
    state = {k: torch.empty_like(v, device="meta") for k, v in network.state_dict().items()}
    load_strict(minimax.make_transformer(SMALL), state, "x")
    with pytest.raises(ModelError, match="unknown"):
        load_strict(minimax.make_transformer(SMALL), {**state, "blocks.0.attn2.to_q.weight": torch.empty(1)}, "x")


def test_no_two_names_become_one() -> None:
    state = original({**ROSE, "num_layers": 12})
    assert len(wan_keys.transformer_state(state)) == len(state)


def test_a_packed_mask_is_one_where_all_is_kept() -> None:
    mask = np.zeros((9, 16, 24), bool)
    mask[0, :8, :8] = True
    mask[5] = True
    out = conditioning.pack_mask(mask)
    assert out.shape == (1, 4, 3, 2, 3)
    assert (out[0, :, 0, 0, 0] == 0).all()  # the first frame four times
    assert (out[0, :, 0, 1:] == 1).all()
    assert out[0, :, 2, 0, 0].tolist() == [0, 1, 1, 1]


def test_a_text_is_encoded_once_on_a_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content in rose_repos()["alibaba-pai/Wan2.1-Fun-1.3B-InP"].items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(settings, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(text_cache, "cache_folder", lambda: tmp_path / "cache")
    base = checkpoints({"wan-fun-1b": tmp_path})["wan-fun-1b"]
    first = model.prompt_embeds(base, "", CPU)
    assert first.shape[:2] == (1, 512)
    assert first[0, 0].any()
    assert not first[0, 1:].any()
    words = model.prompt_embeds(base, "the red ball", CPU)
    assert words[0, 1].any()
    monkeypatch.setattr(wan, "load_text", lambda *_: pytest.fail("it was loaded again"))
    assert torch.equal(model.prompt_embeds(base, "", CPU), first)
    for kept in (tmp_path / "cache" / "text").iterdir():
        kept.write_bytes(b"damaged")
    monkeypatch.undo()
    monkeypatch.setattr(text_cache, "cache_folder", lambda: tmp_path / "cache")
    assert torch.equal(model.prompt_embeds(base, "", CPU), first)


@pytest.mark.parametrize("text", ["720", "720x481", "x", "0x16", "16x16x16"])
def test_a_size_that_cannot_be_is_told(text: str) -> None:
    with pytest.raises(UsageError, match="in multiples of 16"):
        Request("a", "b", size=text).settings({})


def test_changes_of_the_users_own(tmp_path: Path) -> None:
    file = tmp_path / "mine@home.safetensors"
    file.touch()
    asked = Request("a", "b", lora=(str(file), f"{file}@0.5"))
    assert asked.own_loras == ((str(file), 1.0), (str(file), 0.5))
    with pytest.raises(UsageError, match="is not FILE@STRENGTH"):
        _ = Request("a", "b", lora=(f"{file}@much",)).own_loras
    with pytest.raises(UsageError, match="is not FILE@STRENGTH"):
        _ = Request("a", "b", lora=(f"{file}@nan",)).own_loras
    with pytest.raises(UsageError, match="there is no file"):
        _ = Request("a", "b", lora=("none.safetensors@1",)).own_loras


def test_a_plan_knows_where_changes_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be carried out from another folder."""
    for name in ("mine.safetensors", "clip.mp4"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    asked = make_request("clip.mp4", "out.mp4", {"lora": ("mine.safetensors@0.5",), "remover": "rose"})
    assert asked.lora == (f"{tmp_path / 'mine.safetensors'}@0.5",)


def test_a_gpu_that_is_full_is_told_as_such() -> None:
    code, said = explain(torch.OutOfMemoryError("CUDA out of memory"))
    assert code == ExitCode.MEMORY
    assert "--size" in said


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where UnderEraser's two changes were put by hand."""
    return tmp_path_factory.mktemp("drive")


@pytest.fixture(scope="module")
def cli(drive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    repos = {**rose_repos(), **undereraser_repos(drive), **minimax_repos()}
    with fake.serving({name: fake.Repo(files) for name, files in repos.items()}) as server:
        made = Cli(server, tmp_path_factory.mktemp("wan"))
        made.env["VREMOVE_ACCEPT_LICENSE"] = "minimax-remover undereraser lightx2v"
        made.env["XDG_CACHE_HOME"] = str(made.home / "cache")
        yield made


def asked(name: str, drive: Path) -> tuple[object, ...]:
    own = ("--weights", f"undereraser={drive / 'checkpoint.safetensors'}",
           "--weights", f"lightx2v={drive / 'lightx2v.safetensors'}") if name == "undereraser" else ()  # fmt: skip
    return ("--remover", name, "--recover", "off", "--effects", "off", "--steps", 2, *own)


def pair(cli: Cli, frames: int, size: tuple[int, int], codec: str = "libx264") -> tuple[Path, Path]:
    stem = f"{frames}-{size[0]}x{size[1]}"
    how: dict[str, Any] = {"options": {"crf": "4"}} if codec == "libx264" else {"codec": codec}
    clip = write_clip(cli.home / f"{stem}.mkv", size=size, frames=frames, audio="aac", **how)
    mask = write_clip(
        cli.home / f"{stem}.mask.mkv", codec="ffv1", size=size, frames=frames,
        picture=lambda t, w, h: np.repeat(mask_of(t, w, h)[..., None], 3, 2),
    )  # fmt: skip
    return clip, mask


def decoded(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def sound(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(p) for p in container.demux(audio=0) if p.size]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rose", "undereraser", "minimax"])
@pytest.mark.parametrize(("frames", "size", "work"), [(84, (96, 64), "48x32"), (3, (63, 95), "32x48")])
def test_a_clip_comes_back_whole(
    cli: Cli, drive: Path, name: str, frames: int, size: tuple[int, int], work: str
) -> None:
    """Longer than a window; shorter than the least, upright, and of odd sides."""
    clip, mask = pair(cli, frames, size, "ffv1")
    target = cli.home / f"{name}-{frames}.mkv"
    _, said = cli("erase", clip, "--mask", mask, *asked(name, drive), "--size", work, "-o", target)
    assert f"remover: {name} (by --remover)" in said
    out, source = decoded(target), decoded(clip)
    assert out.shape == source.shape
    assert sound(target) == sound(clip)
    t = min(10, frames - 1)
    hole = mask_of(t, *size) > 0
    assert np.abs(out[t][hole].astype(int) - source[t][hole]).mean() > 10
    far = ~cv2.dilate(hole.astype(np.uint8), np.ones((31, 31), np.uint8)).astype(bool)
    assert np.array_equal(out[t][far], source[t][far])


@pytest.mark.slow
def test_changes_of_another_model_are_refused(cli: Cli, drive: Path) -> None:
    from safetensors.torch import save_file

    clip, mask = pair(cli, 5, (96, 64))
    save_file({"blocks.99.self_attn.q.lora_up.weight": torch.zeros(2, 2)}, drive / "other.safetensors")
    args = (*asked("rose", drive), "--size", "48x32", "--lora", drive / "other.safetensors", "-o", "no.mkv")
    assert "do not fit the model" in cli.fails("erase", clip, "--mask", mask, *args)


@pytest.mark.slow
def test_weights_that_lie_on_a_drive_are_asked_for(cli: Cli) -> None:
    clip, mask = pair(cli, 5, (96, 64))
    said = cli.fails("erase", clip, "--mask", mask, "--remover", "undereraser", "-o", "no.mkv")
    assert "Google Drive" in said
    assert "--weights undereraser=" in said


def folders(repos: dict[str, dict[str, bytes]], folder: Path) -> list[str]:
    for repo, files in repos.items():
        for name, content in files.items():
            (folder / repo / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / repo / name).write_bytes(content)
    return [str(folder / repo) for repo in repos]


@pytest.fixture(scope="module")
def places(drive: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Where all tiny networks lie, for removers that are used without the command."""
    folder = tmp_path_factory.mktemp("places")
    rose, small = folders(rose_repos(), folder)
    (large,) = folders(undereraser_repos(drive), folder)
    return {
        "rose": rose, "wan-fun-1b": small, undereraser.BASE: large,
        undereraser.FAST: str(drive / "lightx2v.safetensors"), undereraser.OWN: str(drive / "checkpoint.safetensors"),
    }  # fmt: skip


@pytest.fixture
def make(places: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a remover makes of five frames, in two steps."""
    monkeypatch.setattr(text_cache, "cache_folder", lambda: tmp_path / "cache")
    source = np.stack([cv2.resize(scene(t, 96, 64), (48, 32)) for t in range(5)]).astype(np.float32) / 255
    mask = np.zeros((5, 32, 48), bool)
    mask[:, 8:20, 10:30] = True
    shot = Shot(source, mask, mask, np.zeros_like(mask), 0, 0, 0, lambda *_: None)

    def made(kind: Any, **more: Any) -> np.ndarray:
        remover = kind(Settings(steps=2, checkpoints=checkpoints(places), **more))
        (stage,) = remover.stages(ShotInfo((FrameRange(0, 5),), (FrameRange(0, 5),), 48, 32))
        return remover.run(stage, shot, {}).frames

    return made


@pytest.mark.slow
def test_a_seed_gives_the_same_frames_again(make: Any) -> None:
    first = make(RoseRemover, seed=3)
    assert np.array_equal(first, make(RoseRemover, seed=3))
    assert not np.array_equal(first, make(RoseRemover, seed=4))


@pytest.mark.slow
def test_the_users_own_changes_and_the_papers_input_change_the_result(make: Any, drive: Path) -> None:
    plain = make(UnderEraserRemover)
    own = ((str(drive / "checkpoint.safetensors"), 4.0),)
    assert not np.array_equal(plain, make(UnderEraserRemover, loras=own))
    assert not np.array_equal(plain, make(UnderEraserRemover, conditioning="paper"))


@pytest.mark.slow
def test_a_prompt_guides_rose(make: Any) -> None:
    """Away from what it makes without one, and the farther the stronger the guidance."""
    plain = make(RoseRemover)
    said = {g: make(RoseRemover, prompt="a table", guidance=g) for g in (None, 0.0, 1.0, GUIDANCE)}
    assert np.array_equal(said[0.0], plain)
    assert np.array_equal(said[None], said[GUIDANCE])
    away = [np.abs(said[g] - plain).mean() for g in (1.0, GUIDANCE)]
    assert 0 < away[0] < away[1]
    assert not np.array_equal(make(RoseRemover, prompt="a red ball"), said[None])
    with pytest.raises(UsageError, match="does nothing without --prompt"):
        make(RoseRemover, guidance=2.0)


@pytest.mark.slow
def test_quality_is_a_number_of_steps(make: Any) -> None:
    assert [RoseRemover(Settings(quality=q)).steps() for q in ("draft", "standard", "best")] == [20, 50, 50]
    assert UnderEraserRemover(Settings()).steps() == 4
    assert UnderEraserRemover(Settings(quality="best", steps=3)).steps() == 3


@pytest.mark.slow
def test_keyframes_lead_a_long_clip(places: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """290 frames: what the windows know of the keyframes changes what they make, and no seam is wider than without."""
    monkeypatch.setattr(text_cache, "cache_folder", lambda: tmp_path / "cache")
    remover = UnderEraserRemover(Settings(steps=2, checkpoints=checkpoints(places)))
    seams = measured(remover, 290, (48, 32))
    assert seams.keyframes == 73
    assert seams.effect > 0
    assert seams.led < 1.1 * seams.alone
    assert seams.joined < 1.1 * seams.inside


def test_a_config_of_the_users_own_lies_beside_its_weights(tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    file.touch()
    own = checkpoints({"rose": file})["rose"]
    with pytest.raises(ModelError, match=r"holds no config\.json"):
        model.transformer_files(own)
    (tmp_path / "config.json").write_text(json.dumps(ROSE))
    assert model.transformer_files(own) == (tmp_path / "config.json", file)


def test_a_dry_run_says_what_a_gpu_needs(vremove: Any, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", frames=5)
    said = vremove("erase", clip, "--box", "10,10,30,30", "--remover", "rose", "--dry-run")
    assert said.status == 0
    assert "GPU memory, computed: 7.9 GB (--memory resident); 7.9 GB with all weights there" in said.stdout
    assert "downloads: rose (3.1 GB), wan-fun-1b (11.9 GB)" in said.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", [RoseRemover, UnderEraserRemover, MiniMaxRemover])
def test_half_the_digits_give_nearly_the_same(
    kind: Any, places: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any
) -> None:
    """In bfloat16, which is what runs on a GPU."""
    (small,) = folders(minimax_repos(), tmp_path)
    monkeypatch.setitem(places, "minimax-remover", small)
    exact = make(kind)
    near = make(kind, arithmetic=Arithmetic("cpu", "bfloat16"))
    assert 0 < np.abs(near - exact).mean() < 0.2 * exact.std()


@pytest.mark.parametrize(
    ("remover", "option", "can"),
    [
        ("minimax", ("--lora", "x"), "rorem or rose or undereraser"), ("rose", ("--second-pass", "on"), "void"),
        ("plate", ("--quality", "best"), "minimax or rorem or rose or undereraser or void"),
        ("void", ("--conditioning", "paper"), "undereraser"),
    ],
)  # fmt: skip
def test_what_a_remover_would_not_look_at_is_refused(
    vremove: Any, tmp_path: Path, remover: str, option: tuple[str, str], can: str
) -> None:
    clip = write_clip(tmp_path / "clip.mkv", frames=3)
    value = str(clip) if option[1] == "x" else option[1]
    said = vremove(
        "erase", clip, "--box", "10,10,30,30", "--remover", remover, option[0], value, "-o", tmp_path / "o.mkv"
    )
    assert said.status == 2
    assert f"{remover} takes no {option[0]}: leave it out, or choose --remover {can}" in said.stderr
