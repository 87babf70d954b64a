"""What will move once the object is gone: seen by contact and motion, or said by a model that is asked."""

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from support import hub as fake
from support.clips import mask_of, scene, write_clip
from support.disc import SIZE, handle, handled_disc, red_disc, truth
from support.process import Cli
from support.twins import reasoner_repo, void_repos
from vremove_cli.detection.contact import extend_down, find_dependents
from vremove_cli.detection.vlm import ask_what_moves, draw_question, grid_for, load_vlm, parse_answer
from vremove_cli.errors import ModelError, UsageError
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.geometry import Array
from vremove_cli.job.affected_proposals import affected_prompts
from vremove_cli.job.request import Request, request_from
from vremove_cli.media.ffv1 import read_gray
from vremove_cli.media.read import open_clip
from vremove_cli.removers.void.quadmask import Level
from vremove_cli.tracking.base import ForegroundEvidence
from vremove_cli.tracking.flow.background_model import BackgroundModel

_WALL = np.random.default_rng(3).uniform(90, 180, (24, 40, 3)).astype(np.float32)
POST, BOARD = (slice(110, 165), slice(150, 175)), (slice(96, 110), slice(90, 230))


def still(*, board: bool) -> Array:
    """A post before a wall, with or without a board on top of it, (180, 320, 3) uint8."""
    out = np.clip(cv2.resize(_WALL, SIZE, interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)
    out[165:] = (120, 90, 60)
    out[POST] = (170, 40, 150)
    if board:
        out[BOARD] = (20, 120, 130)
    return out


def post() -> Array:
    mask = np.zeros(SIZE[::-1], bool)
    mask[POST] = True
    return mask


def seen(picture: Callable[[int, int, int], Array], t: int) -> Array:
    """What is found to move with the disc on frame t."""
    frames = {k: picture(k, *SIZE) for k in range(24)}
    return find_dependents(frames[t], frames[t + 4], truth(t), BackgroundModel(frames).evidence(t))[0]


def test_what_moves_with_an_object_is_found() -> None:
    found = seen(handled_disc, 10)
    bar = handle(10)
    assert (found & bar).sum() > 0.7 * bar.sum()
    assert (found & ~cv2.dilate(bar.astype(np.uint8), np.ones((9, 9))).astype(bool)).sum() < 0.2 * bar.sum()


def test_an_object_that_carries_nothing_has_nothing_with_it() -> None:
    assert not seen(red_disc, 10).any()


def test_what_rests_on_an_object_that_stands_still_is_found_whole() -> None:
    picture = still(board=True)
    found, why = find_dependents(picture, picture, post(), ForegroundEvidence.zeros(180, 320))
    assert why == "rests on it"
    board = np.zeros_like(found)
    board[BOARD] = True
    assert (found & board).sum() > 0.9 * board.sum()
    assert (found & ~board).sum() < 0.1 * board.sum()


def test_a_wall_behind_an_object_does_not_rest_on_it() -> None:
    picture = still(board=False)
    assert not find_dependents(picture, picture, post(), ForegroundEvidence.zeros(180, 320))[0].any()


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_what_falls_comes_through_all_below_it(row: int, column: int, lowest: int) -> None:
    mask = np.zeros((10, 10), bool)
    mask[row, column] = True
    out = extend_down(mask, lowest)
    assert out[row : max(row, lowest) + 1, column].all()
    assert out.sum() == max(1, lowest - row + 1)


ANSWER = '{"moves": [{"name": "cup", "rows": [5, 6], "columns": [8, 9]}]}'


@pytest.mark.parametrize("text", [ANSWER, f"```json\n{ANSWER}\n```", f"I think: {ANSWER} because it is held."])
def test_an_answer_is_read_whatever_stands_round_it(text: str) -> None:
    ((name, box),) = parse_answer(text, 8, 12, (64, 96))
    assert (name, box.x0, box.y0, box.x1, box.y1) == ("cup", 64, 40, 80, 56)


@pytest.mark.parametrize(
    "text", ["", "nothing", '{"moves": 3}', '{"things": []}', '{"moves": [{"name": "cup"}]}', "}{"]
)
def test_an_answer_that_cannot_be_read_is_told(text: str) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        parse_answer(text, 8, 12, (64, 96))


@given(st.lists(st.tuples(st.integers(-99, 99), st.integers(-99, 99)), max_size=9))
def test_boxes_of_an_answer_lie_in_the_picture(cells: list[tuple[int, int]]) -> None:
    things = ", ".join(f'{{"name": "x", "rows": {r}, "columns": [{c}]}}' for r, c in cells)
    for _, box in parse_answer(f'{{"moves": [{things}]}}', 8, 12, (64, 96)):
        assert 0 <= box.x0 < box.x1 <= 96
        assert 0 <= box.y0 < box.y1 <= 64


def test_what_a_model_is_shown_has_the_object_in_red_and_a_grid() -> None:
    mask = np.zeros((64, 96), bool)
    mask[20:30, 30:46] = True
    picture = draw_question(np.full((64, 96, 3), 100, np.uint8), mask, *grid_for(64, 96))
    assert picture[25, 35].tolist() == [162, 60, 60]
    assert picture[60, 16].tolist() == [255, 255, 255]


@pytest.mark.parametrize("by", ["me", "vlm", "vlm:"])
def test_an_unknown_way_is_told(by: str) -> None:
    with pytest.raises(UsageError, match="choose contact, or vlm:NAME"):
        request_from("a", "b", {"affected_by": by})


def test_pointing_and_asking_are_one_too_many() -> None:
    with pytest.raises(UsageError, match="use one or the other"):
        request_from("a", "b", {"affected_by": "contact", "affected_point": "1,1"})


def test_an_inverted_mask_is_looked_at_inverted(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "post.mkv", codec="ffv1", size=SIZE, frames=6, picture=lambda *_: still(board=True))
    mask = tmp_path / "mask.png"
    cv2.imwrite(str(mask), np.where(post(), 0, 255).astype(np.uint8))
    info, own = open_clip(str(clip)).info, open_clip(str(mask)).info
    said: list[object] = []
    asked = Request(str(clip), "out", mask=str(mask), invert_mask=True, affected_by="contact")
    found = affected_prompts(asked, info, FrameRange(0, 6), {}, own, said.append, fetch=False)
    x0, y0, x1, y1 = found[0].xy
    assert abs(x0 - 90) < 6
    assert abs(x1 - 230) < 6
    assert abs(y0 - 96) < 6
    assert y1 < 125


@pytest.fixture(scope="module")
def vlm_files() -> dict[str, bytes]:
    return reasoner_repo(ANSWER)


def test_the_tests_model_gives_its_one_answer(vlm_files: dict[str, bytes], tmp_path: Path) -> None:
    for name, content in vlm_files.items():
        (tmp_path / name).write_bytes(content)
    vlm = load_vlm(str(tmp_path), "cpu")
    question = vlm.processor(text="<image>What moves?\n", images=[Image.new("RGB", (96, 64))], return_tensors="pt")
    reply = vlm.model.generate(**question, max_new_tokens=9, do_sample=False)[0, question["input_ids"].shape[1] :]
    assert vlm.processor.decode(reply) == f"{ANSWER}</s>"
    picture = np.zeros((64, 96, 3), np.uint8)
    ((name, box),) = ask_what_moves(vlm, picture, picture[..., 0] > 0)
    assert (name, box.x0, box.y0, box.x1, box.y1) == ("cup", 64, 40, 80, 56)


@pytest.fixture(scope="module")
def cli(vlm_files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    repos = {**void_repos(), "HuggingFaceTB/SmolVLM-Instruct": vlm_files}
    with fake.serving({name: fake.Repo(files) for name, files in repos.items()}) as server:
        made = Cli(server, tmp_path_factory.mktemp("affected"))
        made.env["VREMOVE_ACCEPT_LICENSE"] = "cogvideox-fun-5b"
        yield made


def with_a_cup(t: int, width: int, height: int) -> Array:
    return cv2.circle(scene(t, width, height).copy(), (72, 48), 7, (20, 40, 220), -1)


@pytest.mark.slow
def test_a_model_is_fetched_and_asked_and_its_answer_followed(cli: Cli) -> None:
    clip = write_clip(cli.home / "cup.mkv", codec="ffv1", size=(96, 64), frames=6, picture=with_a_cup)
    mask = write_clip(
        cli.home / "mask.mkv", codec="ffv1", size=(96, 64), frames=6,
        picture=lambda t, w, h: np.repeat(mask_of(t, w, h)[..., None], 3, 2),
    )  # fmt: skip
    args = ("--mask", mask, "--remover", "void", "--steps", 2, "--write-quadmask", "quad.mkv", "-o", "out.mkv")
    _, said = cli("erase", clip, *args, "--affected-by", "vlm:smolvlm")
    assert "affected: smolvlm on cpu" in said
    assert "affected: cup on frame 0, at 64,40,80,56" in said
    quad = next(iter(read_gray(cli.home / "quad.mkv")))
    assert (quad[44:52, 69:75] == Level.AFFECTED).mean() > 0.9
    assert (quad[:10, 60:] == Level.KEEP).all()


@pytest.mark.slow
def test_what_rests_on_the_object_is_marked_with_the_way_it_falls(cli: Cli) -> None:
    clip = write_clip(cli.home / "post.mkv", codec="ffv1", size=SIZE, frames=6, picture=lambda *_: still(board=True))
    args = (
        "--box",
        "150,110,175,165",
        "--remover",
        "void",
        "--steps",
        2,
        "--write-quadmask",
        "post.quad.mkv",
        "-o",
        "post.out.mkv",
    )
    _, said = cli("erase", clip, *args, "--affected-by", "contact")
    assert "affected: what rests on it on frame 0" in said
    quad = list(read_gray(cli.home / "post.quad.mkv"))[3]
    assert (quad[98:108, 95:225] == Level.AFFECTED).mean() > 0.9
    assert (quad[112:160, 180:220] == Level.AFFECTED).mean() > 0.9
    assert (quad[170:] == Level.KEEP).all()


def test_only_a_remover_that_knows_of_it_takes_what_will_move(cli: Cli) -> None:
    clip = write_clip(cli.home / "plain.mkv", codec="ffv1", size=(96, 64), frames=3)
    _, said = cli("erase", clip, "--point", "20,20", "--affected-by", "contact", "-o", "no.mkv", status=2)
    assert "plate does not know what will move" in said
