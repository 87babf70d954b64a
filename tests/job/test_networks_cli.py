"""Network trackers through the real command: weights fetched from a server, masks, an erased clip."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from support import hub as fake
from support.disc import SIZE, centre, drawn, hidden_disc, iou, red_disc, truth
from support.process import Cli
from support.twins import red_finder, sam2_repo
from vremove_cli.job import planner
from vremove_cli.media.ffv1 import read_gray

REPO = "facebook/sam2.1-hiera-tiny"


@pytest.fixture(scope="module")
def hub() -> Iterator[fake.Hub]:
    with fake.serving({REPO: fake.Repo(sam2_repo())}) as server:
        yield server


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn(tmp_path_factory.mktemp("disc"), red_disc)


@pytest.fixture
def cli(hub: fake.Hub, tmp_path: Path) -> Cli:
    hub.requests.clear()
    return Cli(hub, tmp_path)


def point(t: int = 0) -> str:
    return f"@{t}:{centre(t)[0]},{centre(t)[1]}"


def masks(path: Path) -> list[Any]:
    return [m > 127 for m in read_gray(path)]


@pytest.mark.slow
def test_from_an_empty_cache_to_an_erased_clip_and_then_offline(cli: Cli, hub: fake.Hub, clip: Path) -> None:
    mask = cli.home / "mask.mkv"
    args = ("--point", point(), "--tracker", "sam2-tiny", "--track-every", 1, "-o", "out.mkv", "--write-mask", mask)
    _, said = cli("erase", clip, *args)
    assert "tracker: sam2-tiny (as asked; on cpu, torch sees no GPU)" in said
    assert all(iou(m, truth(t)) > 0.8 for t, m in enumerate(masks(mask)))
    hub.requests.clear()
    cli("erase", clip, *args, "--overwrite", HF_HUB_OFFLINE="1")
    assert hub.requests == []


@pytest.mark.slow
def test_a_mask_is_found_from_the_middle_both_ways_and_on_keyframes(cli: Cli, clip: Path) -> None:
    args = ("--point", point(11), "--tracker", "sam2-tiny", "--track-every", 5)
    _, said = cli("mask", clip, *args, "-o", "mask.mkv")
    assert "on every 5th frame, flow between them" in said
    assert all(iou(m, truth(t)) > 0.8 for t, m in enumerate(masks(cli.home / "mask.mkv")))


@pytest.mark.slow
def test_an_object_that_was_hidden_is_found_again(cli: Cli, tmp_path: Path) -> None:
    clip = drawn(tmp_path, hidden_disc)
    _, said = cli("mask", clip, "--point", point(), "--tracker", "sam2", "--track-every", 1, "-o", "mask.mkv")
    assert "not found in frames 10-17" in said
    assert "found again at frame 18" in said
    found = masks(cli.home / "mask.mkv")
    assert not found[12].any()
    assert iou(found[23], truth(23)) > 0.8


@pytest.mark.slow
def test_auto_takes_what_is_here_and_fetches_nothing(cli: Cli, hub: fake.Hub, clip: Path) -> None:
    args = ("mask", clip, "--point", point(), "--end", "6", "--overwrite", "--no-keep-work", "-o", "mask.mkv")
    assert "tracker: flow (no weights are here" in cli(*args)[1]
    assert hub.requests == []
    cli("models", "pull", "sam2-tiny")
    assert "tracker: sam2-tiny (its weights are here; on cpu" in cli(*args)[1]


@pytest.mark.slow
def test_weights_that_came_since_are_taken_by_the_same_command(cli: Cli, clip: Path) -> None:
    args = ("mask", clip, "--point", point(), "--end", "4", "--overwrite", "-o", "mask.mkv")
    assert "tracker: flow" in cli(*args)[1]
    cli("models", "pull", "sam2-tiny")
    assert "tracker: sam2-tiny" in cli(*args)[1]


def test_what_stands_still_needs_no_network(cli: Cli, hub: fake.Hub, clip: Path) -> None:
    box = ("--box", "10,10,40,30", "--static", "--tracker", "sam2-tiny")
    cli("mask", clip, *box, "-o", "mask.mkv")
    assert hub.requests == []


@pytest.mark.slow
def test_weights_that_are_here_run_where_no_lock_can_be_written(cli: Cli, clip: Path) -> None:
    cli("models", "pull", "sam2-tiny")
    lock = cli.home / "config/vremove/models.lock.json"
    lock.unlink()
    refs = cli.home / "hf/hub/models--facebook--sam2.1-hiera-tiny/refs"
    refs.mkdir(exist_ok=True)
    commit = next((refs.parent / "snapshots").iterdir()).name
    (refs / "main").write_text(commit)
    (cli.home / "config/vremove").rename(cli.home / "gone")
    (cli.home / "config/vremove").write_text("a file where the folder should be")
    args = ("mask", clip, "--point", point(), "--end", "3", "--tracker", "sam2-tiny", "-o", "mask.mkv")
    cli(*args, HF_HUB_OFFLINE="1")


@pytest.mark.slow
def test_a_checkpoint_of_the_users_own_with_the_original_keys(cli: Cli, clip: Path) -> None:
    path = cli.home / "finetuned.pt"
    torch.save({"model": {"maskmem_tpos_enc": torch.zeros(7, 1, 1, 64)}}, path)
    args = ("mask", clip, "--point", point(), "--tracker", "sam2-tiny", "--weights", f"sam2-tiny={path}")
    assert "is no SAM 2.1 of a known size" in cli.fails(*args, "-o", "mask.mkv")


@pytest.mark.slow
def test_a_folder_of_the_users_own(cli: Cli, hub: fake.Hub, clip: Path) -> None:
    red_finder(128).save_pretrained(cli.home / "mine")
    args = ("--point", point(), "--end", "4", "--tracker", "sam2-tiny", "--weights", "sam2-tiny=mine")
    cli("mask", clip, *args, "-o", "mask.mkv")
    assert hub.requests == []
    assert iou(masks(cli.home / "mask.mkv")[0], truth(0)) > 0.6


@pytest.mark.slow
def test_weights_that_changed_are_run_again(cli: Cli, clip: Path) -> None:
    args = ("mask", clip, "--point", point(), "--end", "2", "--tracker", "sam2-tiny", "--weights", "sam2-tiny=mine")
    model = red_finder(128)
    model.save_pretrained(cli.home / "mine")
    cli(*args, "-o", "mask.mkv", "--json")
    again = json.loads(cli(*args, "-o", "mask.mkv", "--json", "--overwrite")[0])
    with torch.no_grad():
        model.mask_decoder.transformer.layers[0].self_attn.q_proj.bias[0] += 1  # far from the file's ends and middle
    model.save_pretrained(cli.home / "mine")
    anew = json.loads(cli(*args, "-o", "mask.mkv", "--json", "--overwrite")[0])
    assert [(r["done"], r["reused"]) for r in (again, anew)] == [(0, 1), (1, 0)]


@pytest.mark.slow
def test_weights_that_do_not_fit_are_refused_by_name(cli: Cli, clip: Path) -> None:
    model = red_finder()
    del model.mask_decoder.iou_token
    model.save_pretrained(cli.home / "mine")
    args = ("mask", clip, "--point", point(), "--tracker", "sam2-tiny", "--weights", "sam2-tiny=mine", "-o", "m.mkv")
    assert "mask_decoder.iou_token.weight is missing" in cli.fails(*args)


@pytest.mark.slow
def test_damaged_weights_are_told(cli: Cli, hub: fake.Hub, clip: Path) -> None:
    folder = Path(cli("models", "pull", "sam2-tiny")[0].strip())
    file = (folder / "model.safetensors").resolve()
    file.write_bytes(b"\xff" * file.stat().st_size)
    line = cli.fails("mask", clip, "--point", point(), "--tracker", "sam2-tiny", "-o", "m.mkv")
    assert "cannot be read" in line
    assert "vremove models verify" in line


def test_a_pickle_that_wants_to_run_code_is_not_opened(cli: Cli, clip: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (Path(cli.home / "evil"),)

    torch.save({"model": Evil()}, cli.home / "evil.pt")
    args = ("mask", clip, "--point", point(), "--tracker", "sam2-tiny", "--weights", "sam2-tiny=evil.pt")
    assert "holds more than tensors" in cli.fails(*args, "-o", "m.mkv")
    assert not (cli.home / "evil").exists()


def test_offline_without_weights_is_told(cli: Cli, clip: Path) -> None:
    line = cli.fails("mask", clip, "--point", point(), "--tracker", "sam2-tiny", "-o", "m.mkv", HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE is set" in line


def test_dry_run_names_what_would_be_fetched(cli: Cli, hub: fake.Hub, clip: Path) -> None:
    out, _ = cli("erase", clip, "--point", point(), "--tracker", "sam2-tiny", "--dry-run")
    assert "downloads: sam2-tiny (156.0 MB)" in out
    assert hub.requests == []


def test_flow_has_no_keyframes(cli: Cli, clip: Path) -> None:
    _, err = cli("mask", clip, "--point", point(), "--track-every", 5, "-o", "m.mkv", status=2)
    assert "the flow tracker follows every frame" in err


@pytest.mark.parametrize(("device", "says"), [("tpu", "--device tpu is unknown"), ("cuda", "torch sees no cuda")])
def test_a_device_that_is_not_here_is_told(cli: Cli, clip: Path, device: str, says: str) -> None:
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is one")
    _, err = cli(
        "mask", clip, "--point", point(), "--tracker", "sam2", "--device", device, "-o", "m.mkv", status=2
    )  # fmt: skip
    assert says in err


@pytest.mark.parametrize(("text", "says"), [("sam2-tiny", "is not NAME=FILE"), ("sam2-tiny=gone.pt", "no weights")])
def test_bad_weights_arguments_are_told(cli: Cli, clip: Path, text: str, says: str) -> None:
    _, err = cli("mask", clip, "--point", point(), "--weights", text, "-o", "m.mkv", status=2)
    assert says in err


def test_weights_of_an_unknown_model_are_told(cli: Cli, clip: Path) -> None:
    args = ("mask", clip, "--point", point(), "--tracker", "sam2-tiny", "--weights", f"sam2-tinny={clip}")
    assert "there is no model 'sam2-tinny'" in cli(*args, "-o", "m.mkv", status=2)[1]


@pytest.mark.slow
def test_a_correction_with_another_prompt_keeps_what_holds(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner, "TRACK_SEGMENT", 26)
    clip = drawn(tmp_path, lambda t, w, h: red_disc(min(t, 24), w, h), 58)
    args = ("mask", clip, "--point", point(), "--tracker", "sam2-tiny", "--track-every", 10, "-o", "mask.mkv", "--json")
    first = json.loads(cli(*args)[0])
    again = json.loads(cli(*args, "--overwrite", "--point", "@52:252,95")[0])
    assert (first["done"], first["reused"]) == (3, 0)
    assert again["reused"] >= 2
    found = masks(cli.home / "mask.mkv")
    assert iou(found[55], truth(24)) > 0.8
    assert found[0].shape == SIZE[::-1]


@pytest.mark.slow
def test_work_goes_on_on_another_machine_with_the_planned_weights(cli: Cli, hub: fake.Hub, clip: Path) -> None:
    args = ("--point", point(), "--tracker", "sam2-tiny", "--track-every", 8, "--effects", "off")
    cli("plan", clip, *args, "-o", "out.mkv", "--work", "job")
    planned = json.loads((cli.home / "job/plan.json").read_text())["tracker"]["checkpoint"]["commit"]
    assert planned == hub.repos[REPO].commit
    other = Cli(hub, cli.home)
    other.env["HF_HOME"] = str(cli.home / "elsewhere")
    other("work", "job", XDG_CONFIG_HOME=str(cli.home / "other-config"))
    other("finish", "job", "--write-mask", "mask.mkv")
    assert all(iou(m, truth(t)) > 0.8 for t, m in enumerate(masks(cli.home / "mask.mkv")))


@pytest.mark.slow
def test_planned_weights_that_are_here_are_used_offline_after_the_lock_moved_on(cli: Cli, tmp_path: Path) -> None:
    files = sam2_repo(128)
    with fake.serving({REPO: fake.Repo(dict(files))}) as hub:
        clip = drawn(tmp_path, red_disc, frames=3)
        cli.env["HF_ENDPOINT"] = hub.url
        cli("plan", clip, "--point", point(), "--tracker", "sam2-tiny", "-o", "out.mkv", "--work", "job")
        hub.repos[REPO].change("config.json", files["config.json"] + b" ")
        cli("models", "lock", "sam2-tiny")
        cli("work", "job", "--task", "track-object-0000", HF_HUB_OFFLINE="1")
