"""VOID end to end: tiny networks in the real repositories' layout, fetched from a server, both passes."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from support import hub as fake
from support.clips import mask_of, scene, write_clip
from support.command import Vremove
from support.full_size import VOID
from support.process import Cli
from support.twins import checkpoints, golden, void_repos
from vremove_cli.errors import ModelError, UsageError
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.media.ffv1 import read_gray
from vremove_cli.networks.arithmetic import Arithmetic
from vremove_cli.networks.cogvideox import rotary
from vremove_cli.networks.model_pool import pool
from vremove_cli.removers.base import Fill, Settings, Shot, ShotInfo, Stage
from vremove_cli.removers.common import placement
from vremove_cli.removers.common.harmonise import changed_box, harmonise, ring_width
from vremove_cli.removers.common.initial_latents import latents_of
from vremove_cli.removers.common.resize import pad_mirrored, work_size
from vremove_cli.removers.common.vram_estimate import MemoryMode
from vremove_cli.removers.void import model, remover
from vremove_cli.removers.void.latent_windows import WINDOW, latent_windows, padded_length
from vremove_cli.removers.void.model import make_transformer
from vremove_cli.removers.void.quadmask import Level, draw_quadmask, quantise
from vremove_cli.weights import load
from vremove_cli.weights.load import load_strict

SIZE = (96, 64)
PASS_FILES = ("void_pass1.safetensors", "void_pass2.safetensors")


@pytest.fixture(scope="module")
def hub() -> Iterator[fake.Hub]:
    repos = {name: fake.Repo(files) for name, files in void_repos().items()}
    with fake.serving(repos) as server:
        yield server


@pytest.fixture(scope="module")
def cli(hub: fake.Hub, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    made = Cli(hub, tmp_path_factory.mktemp("void"))
    made.env["VREMOVE_ACCEPT_LICENSE"] = "cogvideox-fun-5b"
    return made


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Where the tiny networks lie, for a remover that is used without the command."""
    folder, repos = tmp_path_factory.mktemp("networks"), void_repos()
    for repo, files in repos.items():
        for name, content in files.items():
            (folder / repo / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / repo / name).write_bytes(content)
    base, passes = (str(folder / repo) for repo in repos)
    return Settings(checkpoints=checkpoints({remover.BASE: base, **dict.fromkeys(remover.PASSES, passes)}))


def shown(frames: range) -> Shot:
    """The scene and its square, as a remover sees them."""
    source = np.stack([scene(t, *SIZE) for t in frames]).astype(np.float32) / 255
    mask = np.stack([mask_of(t, *SIZE) > 0 for t in frames])
    return Shot(source, mask, mask, np.zeros_like(mask), frames.start, 0, 0, lambda *_: None)


def made_by_void(settings: Settings, frames: int) -> np.ndarray:
    """What VOID makes of so many frames of the scene."""
    void = remover.VoidRemover(settings)
    (stage,) = void.stages(ShotInfo((FrameRange(0, frames),), (FrameRange(0, frames),), *SIZE))
    return void.run(stage, shown(stage.frames), {}).frames


def clip_and_mask(folder: Path, frames: int) -> tuple[Path, Path]:
    clip = write_clip(folder / f"{frames}.mp4", size=SIZE, frames=frames, audio="aac", options={"crf": "4"})
    mask = write_clip(
        folder / f"{frames}.mask.mkv", codec="ffv1", size=SIZE, frames=frames,
        picture=lambda t, w, h: np.repeat(mask_of(t, w, h)[..., None], 3, 2),
    )  # fmt: skip
    return clip, mask


def frames_of(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]


def packets_of(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(p) for p in container.demux(audio=0) if p.size]


@pytest.mark.slow
@pytest.mark.parametrize("frames", [23, 85, 197])
def test_both_passes_give_back_the_clip(cli: Cli, frames: int) -> None:
    clip, mask = clip_and_mask(cli.home, frames)
    _, said = cli(
        "erase", clip, "--mask", mask, "--remover", "void", "--second-pass", "on", "--recover", "off",
        "--effects", "off", "--prompt", "a table", "--steps", 4,
        "-o", f"out-{frames}.mp4", "--crf", 4,
    )  # fmt: skip
    assert "remover: void (by --remover)" in said
    out, source = frames_of(cli.home / f"out-{frames}.mp4"), frames_of(clip)
    assert len(out) == frames
    assert packets_of(cli.home / f"out-{frames}.mp4") == packets_of(clip)
    hole = mask_of(3, *SIZE) > 0
    assert np.abs(out[3][hole].astype(int) - source[3][hole]).mean() > 20
    assert np.abs(out[3][:8].astype(int) - source[3][:8]).max() <= 12  # far from the hole: only the encoder
    if frames == 197:
        seams_are_no_wider(np.stack(out).astype(np.float32))


def seams_are_no_wider(video: np.ndarray) -> None:
    """Of 197 frames in three windows: what was made changes no more where windows meet than elsewhere."""
    step = {}
    for t in range(len(video) - 1):
        both = (mask_of(t, *SIZE) > 0) & (mask_of(t + 1, *SIZE) > 0)
        if both.sum() > 150:  # the square starts anew now and then
            step[t] = np.abs(video[t + 1] - video[t])[both].mean()
    runs = latent_windows(latents_of(padded_length(197)), latents_of(WINDOW))
    assert len(runs) == 3
    borders = {4 * edge + d for run in runs for edge in run if 0 < edge < 50 for d in range(-5, 5)}
    across = [s for t, s in step.items() if t in borders]
    inside = [s for t, s in step.items() if t not in borders]
    # What random weights make differs between machines: shares of a distribution are compared, not its one extreme.
    assert np.mean(across) < 1.2 * np.mean(inside)
    assert np.percentile(across, 90) < 1.3 * np.percentile(inside, 90)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_result_and_another_one_another(
    networks: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(remover.STEPS, "standard", (1, 1))
    first, again, other = (made_by_void(replace(networks, seed=seed), 9) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.slow
def test_what_is_affected_is_made_anew_though_other_frames_show_it(cli: Cli) -> None:
    clip, mask = clip_and_mask(cli.home, 9)

    def beside(t: int, width: int, height: int) -> np.ndarray:
        out = np.zeros((height, width, 3), np.uint8)
        out[4:20, 60:90] = 255
        return out

    affected = write_clip(cli.home / "affected.mkv", codec="ffv1", size=SIZE, frames=9, picture=beside)
    args = ("--mask", mask, "--remover", "void", "--affected-mask", affected, "-o", "moved.mkv", "--codec", "ffv1")
    cli("erase", clip, *args, "--write-quadmask", "quad.mkv", "--grow", 0)
    (first, *_) = read_gray(cli.home / "quad.mkv")
    assert first[10, 70] == Level.AFFECTED
    assert set(np.unique(first[mask_of(0, *SIZE) > 0])) == {Level.REMOVE}
    assert first[40, 90] == Level.KEEP
    out, source = frames_of(cli.home / "moved.mkv"), frames_of(clip)
    assert np.abs(out[4][6:18, 62:88].astype(int) - source[4][6:18, 62:88]).mean() > 3
    assert np.array_equal(out[4][40:, 70:], source[4][40:, 70:])


def test_its_licence_is_asked_for(hub: fake.Hub, tmp_path: Path) -> None:
    clip, mask = clip_and_mask(tmp_path, 3)
    line = Cli(hub, tmp_path).fails("erase", clip, "--mask", mask, "--remover", "void", "-o", "out.mkv")
    assert "--accept-license cogvideox-fun-5b" in line


def test_a_plate_takes_no_affected_region(vremove: Vremove, tmp_path: Path) -> None:
    clip, mask = clip_and_mask(tmp_path, 3)
    said = vremove("erase", clip, "--mask", mask, "--affected-mask", mask, "-o", tmp_path / "out.mkv")
    assert said.status == 2
    assert "add --remover void" in said.stderr


def test_the_full_size_network_has_the_keys_and_shapes_that_are_expected() -> None:
    state = make_transformer(VOID).state_dict()
    assert len(state) == 1024
    assert tuple(state["patch_embed.proj.weight"].shape) == (3072, 384)
    assert tuple(state["proj_out.weight"].shape) == (128, 3072)
    assert round(sum(t.numel() for t in state.values()) / 1e9, 1) == 5.6
    load_strict(make_transformer(VOID), state, "void_pass1.safetensors")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.pop("proj_out.bias"), "proj_out.bias is missing"),
        (lambda s: s.update(ofs=torch.empty(1, device="meta")), "ofs is unknown"),
        (
            lambda s: s.update({"patch_embed.proj.weight": torch.empty(3072, 264, device="meta")}),
            r"patch_embed.proj.weight is \(3072, 264\) and not \(3072, 384\)",
        ),
    ],
)
def test_wrong_keys_and_shapes_are_refused(change: Callable[[dict[str, Any]], object], says: str) -> None:
    state = dict(make_transformer(VOID).state_dict())
    change(state)
    with pytest.raises(ModelError, match=says):
        load_strict(make_transformer(VOID), state, "void_pass1.safetensors")


@given(st.integers(1, 900))
def test_a_padded_clip_fits_the_network(frames: int) -> None:
    length = padded_length(frames)
    assert length >= max(frames, WINDOW)
    assert length % 4 == 1
    assert latents_of(length) % 2 == 0
    assert length - frames < 8 or length == WINDOW
    numbers = pad_mirrored(np.arange(frames), length)
    assert len(numbers) == length
    assert np.all(np.abs(np.diff(numbers)) <= 1)
    assert list(numbers[:frames]) == list(range(frames))


@given(st.integers(22, 400).map(lambda n: n // 2 * 2))
def test_windows_cover_all_latents_and_share_four(latents: int) -> None:
    runs = latent_windows(latents, 22)
    assert runs[0][0] == 0
    assert runs[-1][1] == latents
    assert all(a[1] - b[0] == 4 for a, b in zip(runs, runs[1:], strict=False))
    assert all(b - a == 22 for a, b in runs[:-1])
    assert 4 < runs[-1][1] - runs[-1][0] <= 22


def test_a_quadmask_has_its_four_values() -> None:
    erase, affected = np.array([1, 1, 0, 0], bool), np.array([0, 1, 1, 0], bool)
    mask = draw_quadmask(erase, affected)
    assert mask.tolist() == [Level.REMOVE, Level.BOTH, Level.AFFECTED, Level.KEEP]
    assert quantise(mask + np.array([20.0, -20, 50, -40])).tolist() == mask.tolist()


@given(st.integers(16, 4000), st.integers(16, 4000))
def test_the_work_size_keeps_shape_and_area(width: int, height: int) -> None:
    w, h = work_size(width, height, 384 * 672, 16)
    assert w % 16 == h % 16 == 0
    if 1 / 3 < width / height < 3:
        assert 0.9 < w * h / (384 * 672) < 1.1
        assert 0.9 < (w / h) / (width / height) < 1.1


def test_a_size_beyond_what_it_knows_is_told(networks: Settings) -> None:
    with pytest.raises(UsageError, match="void cannot work at 128x64"):
        remover.VoidRemover(replace(networks, size=(128, 64))).size(96, 64)


@given(st.integers(16, 4000), st.integers(16, 4000))
def test_no_side_exceeds_what_a_network_knows(width: int, height: int) -> None:
    w, h = work_size(width, height, 384 * 672, 16, (720, 480))
    assert w <= 720
    assert h <= 480
    assert w % 16 == h % 16 == 0


def test_what_a_network_made_is_brought_to_its_surroundings() -> None:
    rng = np.random.default_rng(0)
    clean = np.clip(scene(0, 192, 128) / 255.0, 0, 1).astype(np.float32)
    source = np.clip(clean + rng.normal(0, 0.02, clean.shape[:2])[..., None], 0, 1).astype(np.float32)
    hole = np.zeros((128, 192), bool)
    hole[40:90, 70:130] = True
    made = np.clip(cv2.resize(clean, (96, 64), interpolation=cv2.INTER_AREA) * 0.9 + 0.06, 0, 1)
    plain = cv2.resize(made, (192, 128), interpolation=cv2.INTER_CUBIC)
    out = harmonise(plain, source, hole, ring_width(hole.shape), rng)
    drift = [np.abs(cv2.GaussianBlur(p - clean, (0, 0), 6)[hole]).mean() for p in (out, plain)]
    assert drift[0] < 0.7 * drift[1]
    detail = (out - cv2.GaussianBlur(out, (0, 0), 1))[hole]
    assert 0.5 * 0.02 < detail.std() < 1.5 * 0.02  # the grain that the source was given


def test_far_from_the_hole_a_networks_picture_stays_as_it_is() -> None:
    """The drift is continued in the box round the hole alone: its time does not grow with the frame."""
    source = np.clip(scene(0, 640, 360) / 255.0, 0, 1).astype(np.float32)
    hole = np.zeros((360, 640), bool)
    hole[100:140, 80:120] = True
    made = source * 0.9
    reach = ring_width(hole.shape)
    out = harmonise(made, source, hole, reach, np.random.default_rng(0))
    near = changed_box(hole).grow(5).clip(640, 360).slices
    part = harmonise(made[near], source[near], hole[near], reach, np.random.default_rng(0))
    assert np.array_equal(part, out[near])
    assert np.array_equal(out[:, 300:], np.clip(made, 0, 1)[:, 300:])
    assert np.abs(out - source)[hole].mean() < 0.5 * np.abs(made - source)[hole].mean()


def small_network() -> tuple[Any, dict[str, Any]]:
    """A tiny transformer with random weights, and something to ask it."""
    model = make_transformer(golden("void_transformer")[1]["config"]["transformer"]).to_empty(device="cpu").eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.05)
    return model, {
        "hidden_states": torch.randn(1, 4, 48, 8, 8), "timestep": torch.tensor([500.0]),
        "encoder_hidden_states": torch.randn(1, 8, model.config.text_embed_dim),
        "image_rotary_emb": rotary(model.config, 4, 8, 8, "cpu"),
    }  # fmt: skip


def test_weights_in_8_bits_lie_so_and_say_nearly_the_same() -> None:
    """On a CPU, where they come from 32 bits."""
    model, given = small_network()
    with torch.inference_mode():
        exact = model(**given)[0]
        near = placement.place(model, placement.runtime_of(Arithmetic(), MemoryMode("fp8")))(**given)[0]
    assert model.transformer_blocks[0].attn1.to_q.weight.dtype == torch.float8_e4m3fn
    assert 0 < (near - exact).std() < 0.2 * exact.std()


def test_weights_that_are_moved_block_by_block_say_the_same() -> None:
    """From the CPU to itself, which is all that can be done without a GPU."""
    model, given = small_network()
    with torch.inference_mode():
        exact = model(**given)[0]
        moved = placement.place(model, placement.runtime_of(Arithmetic(), MemoryMode("offload")))(**given)[0]
    assert torch.equal(moved, exact)


def test_help_loads_no_network_library() -> None:
    probe = (
        "import sys\nfrom vremove_cli.removers import registry\nassert not {'torch', 'diffusers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", probe], check=True)


def quadmask_at(t: int, width: int, height: int) -> np.ndarray:
    """The square's mask, and a region at the top that will change."""
    erase = mask_of(t, width, height) > 0
    affected = np.zeros_like(erase)
    affected[4:20, 60:90] = True
    return np.repeat(draw_quadmask(erase, affected)[..., None], 3, 2)


@pytest.mark.slow
def test_a_folder_of_voids_own_layout_just_runs(cli: Cli) -> None:
    folder = cli.home / "sequence"
    folder.mkdir()
    write_clip(folder / "input_video.mp4", size=SIZE, frames=5, options={"crf": "4"})
    write_clip(
        folder / "quadmask_0.mp4", size=SIZE, frames=5, picture=quadmask_at, options={"crf": "1"}, pix_fmt="yuv444p"
    )
    (folder / "prompt.json").write_text('{"bg": "an old table"}')
    cli("erase", folder, "--remover", "void", "--steps", 3, "-o", "sequence.mkv", "--codec", "ffv1")
    out, source = frames_of(cli.home / "sequence.mkv"), frames_of(folder / "input_video.mp4")
    assert np.abs(out[3][6:18, 62:88].astype(int) - source[3][6:18, 62:88]).mean() > 3
    assert np.array_equal(out[3][40:, 70:], source[3][40:, 70:])
    report = (cli.home / "sequence.vremove.json").read_text()
    assert '"prompt": "an old table"' in report


def test_such_a_folder_runs_with_a_remover_that_knows_nothing_of_falling(vremove: Vremove, tmp_path: Path) -> None:
    folder = tmp_path / "sequence"
    folder.mkdir()
    write_clip(folder / "input_video.mp4", size=SIZE, frames=5, options={"crf": "4"})
    write_clip(
        folder / "quadmask_0.mp4", size=SIZE, frames=5, picture=quadmask_at, options={"crf": "1"}, pix_fmt="yuv444p"
    )
    (folder / "prompt.json").write_text('{"bg": "an old table"}')
    assert vremove("erase", folder, "-o", tmp_path / "out.mkv", "--codec", "ffv1").status == 0
    out, source = frames_of(tmp_path / "out.mkv"), frames_of(folder / "input_video.mp4")
    hole = mask_of(3, *SIZE) > 0
    assert np.abs(out[3][hole].astype(int) - source[3][hole]).mean() > 5
    assert np.array_equal(out[3][4:20, 60:90], source[3][4:20, 60:90])  # what would have moved stays


def test_a_quadmask_and_a_mask_are_one_too_many(vremove: Vremove, tmp_path: Path) -> None:
    clip, mask = clip_and_mask(tmp_path, 3)
    said = vremove("erase", clip, "--mask", mask, "--quadmask", mask, "-o", tmp_path / "out.mkv")
    assert said.status == 2
    assert "use one or the other" in said.stderr


@pytest.mark.parametrize(("option", "value"), [("--recover", "maybe"), ("--second-pass", "twice")])
def test_unknown_values_are_told(vremove: Vremove, tmp_path: Path, option: str, value: str) -> None:
    clip, mask = clip_and_mask(tmp_path, 3)
    said = vremove("erase", clip, "--mask", mask, option, value, "-o", tmp_path / "out.mkv")
    assert said.status == 2
    assert f"{option} {value} is unknown" in said.stderr


def with_a_cup(t: int, width: int, height: int) -> np.ndarray:
    """The scene, and a blue cup that stands still."""
    return cv2.circle(scene(t, width, height).copy(), (72, 50), 7, (20, 40, 220), -1)


@pytest.mark.slow
def test_what_is_pointed_at_as_affected_is_followed_and_made_anew(cli: Cli) -> None:
    _, mask = clip_and_mask(cli.home, 8)
    clip = write_clip(cli.home / "cup.mkv", codec="ffv1", size=SIZE, frames=8, picture=with_a_cup)
    args = ("--mask", mask, "--remover", "void", "--steps", 3, "--affected-point", "72,50", "-o", "cup.out.mkv")
    _, said = cli("erase", clip, *args)
    assert "tracker: flow" in said
    out, source = frames_of(cli.home / "cup.out.mkv"), frames_of(clip)
    assert np.abs(out[4][47:53, 69:75].astype(int) - source[4][47:53, 69:75]).mean() > 20
    assert np.array_equal(out[4][:10, 70:], source[4][:10, 70:])


def test_an_object_cannot_be_called_affected(vremove: Vremove, tmp_path: Path) -> None:
    clip, _ = clip_and_mask(tmp_path, 3)
    said = vremove("erase", clip, "--point", "affected=5,5", "-o", tmp_path / "out.mkv")
    assert said.status == 2
    assert "give it another name" in said.stderr


@pytest.mark.slow
def test_parts_of_a_long_shot_fade_into_each_other(networks: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shot of 180 frames in parts of 101 that share 16, against the same cut without any."""
    monkeypatch.setattr(remover, "LONGEST", 101)
    monkeypatch.setitem(remover.STEPS, "standard", (2, 2))
    void = remover.VoidRemover(networks)
    stages = void.stages(ShotInfo((FrameRange(0, 180),), (FrameRange(0, 180),), *SIZE))
    assert [(s.start, s.stop) for s in stages] == [(0, 101), (80, 180), (80, 101)]
    fills: dict[Stage, Fill] = {}
    for stage in stages:
        fills[stage] = void.run(stage, shown(stage.frames), {s: fills[s] for s in stages if s.id in stage.needs})
    first, second, join = (fill.frames for fill in fills.values())
    cut = np.abs(second[0] - first[79]).mean()
    inside = np.abs(np.diff(first[40:80], axis=0)).mean(axis=(1, 2, 3))
    across = np.concatenate([first[79:80], join, second[21:22]])
    seam = np.abs(np.diff(across, axis=0)).mean(axis=(1, 2, 3))
    assert seam.mean() < 1.25 * inside.mean()
    assert seam[0] < cut


@pytest.mark.slow
def test_a_short_memory_gives_nearly_the_same_in_tiles(networks: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(remover.STEPS, "standard", (1, 1))
    whole = made_by_void(networks, 9)
    parts = made_by_void(replace(networks, memory=MemoryMode(tile=8)), 9)
    assert not np.array_equal(parts, whole)
    assert np.abs(parts - whole).mean() < 0.3 * whole.std()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("second_pass", "gigabytes", "passes"),
    [("off", 100, PASS_FILES[:1]), ("on", 100, PASS_FILES), ("on", 1, [*PASS_FILES, *PASS_FILES])],
)
def test_each_file_is_read_once_where_memory_holds_all(
    networks: Settings, monkeypatch: pytest.MonkeyPatch, second_pass: str, gigabytes: int, passes: list[str]
) -> None:
    """Over two shots. Where memory is short the passes replace each other's transformer; all else stays."""
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=gigabytes * 10**9))
    read: list[str] = []

    def counted(reader: Any) -> Any:
        def run(*arguments: Any) -> Any:
            read.extend(Path(str(a)).name for a in arguments if isinstance(a, str))
            return reader(*arguments)

        return run

    monkeypatch.setattr(model, "read_state", counted(load.read_state))
    monkeypatch.setattr(model, "from_folder", counted(load.from_folder))
    monkeypatch.setitem(remover.STEPS, "standard", (1, 1))
    pool.release_all()
    settings = replace(networks, second_pass=second_pass)
    first, second = made_by_void(settings, 5), made_by_void(settings, 5)
    assert np.array_equal(first, second)
    assert read.count("diffusion_pytorch_model.safetensors") == 1
    assert read.count("text_encoder") == 1
    assert [name for name in read if name.startswith("void_pass")] == list(passes)
