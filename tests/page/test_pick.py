"""The page of `vremove pick` in a real browser: point, see, correct, erase, compare, and end in the command line."""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser

from support.browser import PATIENCE, PickPage, clip_beside, opened, serving
from support.clips import mask_of, square, write_clip
from vremove_cli.arrays import iou
from vremove_cli.job.prompts_file import read_prompts
from vremove_cli.media.read import open_clip

SIZE, FRAMES = (320, 240), 16


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("drawn") / "clip.mp4", size=SIZE, frames=FRAMES)


@pytest.fixture
def clip(drawn: Path, tmp_path: Path) -> Path:
    return clip_beside(drawn, tmp_path / "job" / "clip.mp4")


@pytest.fixture
def page(browser: Browser, clip: Path) -> Iterator[PickPage]:
    with serving(clip) as address:
        shown = opened(browser, address)
        yield shown
        shown.page.close()


def middle(t: int) -> tuple[float, float]:
    x0, y0, x1, y1 = square(t, *SIZE)
    return (x0 + x1) / 2, (y0 + y1) / 2


def truth(t: int) -> np.ndarray:
    return mask_of(t, *SIZE) > 0


def test_a_click_shows_the_objects_mask(page: PickPage) -> None:
    page.click(*middle(0))
    page.shows_masks(0, 1)
    assert iou(page.mask(0), truth(0)) > 0.8
    (click,) = page.state["clicks"]
    assert (click["kind"], click["frame"]) == ("point", 0)
    assert np.allclose(click["at"], middle(0), atol=1)


def test_a_right_click_takes_away(page: PickPage) -> None:
    page.click(*middle(0))
    page.shows_masks(0, 1)
    page.click(300, 20, button="right")
    page.shows_masks(0, 2)
    assert [c["kind"] for c in page.state["clicks"]] == ["point", "not_point"]
    assert not page.mask(0)[20, 300]


def test_dragging_draws_a_box(page: PickPage) -> None:
    x0, y0, x1, y1 = square(0, *SIZE)
    page.drag((x0 - 3, y0 - 3), (x1 + 3, y1 + 3))
    page.shows_masks(0, 1)
    (click,) = page.state["clicks"]
    assert click["kind"] == "box"
    assert np.allclose(click["at"], (x0 - 3, y0 - 3, x1 + 3, y1 + 3), atol=1)
    assert iou(page.mask(0), truth(0)) > 0.8


def test_the_brush_adds_to_the_mask_and_takes_from_it(page: PickPage, clip: Path) -> None:
    page.click(*middle(0))
    page.shows_masks(0, 1)
    page.page.keyboard.press("b")
    page.drag((250, 60), (280, 60))
    page.shows_masks(0, 2)
    assert page.mask(0)[60, 265]
    assert iou(page.mask(0)[:, :200], truth(0)[:, :200]) > 0.8
    page.page.keyboard.down("Alt")
    page.drag((240, 60), (290, 60))
    page.page.keyboard.up("Alt")
    page.shows_masks(0, 3)
    assert not page.mask(0)[60, 265]
    (click,) = read_prompts(str(clip.with_name("clip.prompts.json")))
    assert click.kind == "key_mask"
    assert Path(click.file).is_relative_to(clip.parent)


def test_undo_and_redo(page: PickPage) -> None:
    page.click(*middle(0))
    page.shows_masks(0, 1)
    page.page.keyboard.press("Control+z")
    page.shows_masks(0, 2, 0)
    assert page.state["clicks"] == []
    page.page.click("#redo")
    page.shows_masks(0, 3)
    assert len(page.state["clicks"]) == 1


def test_two_objects_have_masks_of_their_own(page: PickPage) -> None:
    page.click(*middle(0))
    page.shows_masks(0, 1)
    page.page.fill("#object-name", "corner")
    page.page.keyboard.press("Enter")
    page.drag((200, 20), (260, 60))
    page.shows_masks(0, 2, 2)
    assert [c["object"] for c in page.state["clicks"]] == ["", "corner"]
    assert not page.mask(0, "corner")[truth(0)].any()


def test_follow_correct_erase_compare_and_the_command_does_the_same(page: PickPage, clip: Path, tmp_path: Path) -> None:
    page.click(*middle(0))
    page.shows_masks(0, 1)
    page.page.click("#follow")
    page.ends("follow")
    assert page.state["masks"]["followed"] == [[0, FRAMES - 1]]
    assert min(iou(page.mask(t), truth(t)) for t in range(0, FRAMES, 7)) > 0.7

    page.page.focus("#timeline")
    page.page.keyboard.press("End")
    page.click(*middle(FRAMES - 1))
    page.shows_masks(FRAMES - 1, 2)
    page.page.keyboard.press("f")
    page.page.wait_for_selector("#job:not([hidden])", timeout=PATIENCE)
    page.page.wait_for_selector("#job[hidden]", state="attached", timeout=PATIENCE)
    assert page.state["stale"] is False

    page.page.click("#erase")
    job = page.ends("erase")
    result = Path(job["result"]["output"])
    assert result == clip.with_name("clip.clean.mp4")
    page.page.wait_for_selector("#compare:enabled", timeout=PATIENCE)
    before, after = page.picture(f"frame/{FRAMES - 1}"), page.picture(f"result/{FRAMES - 1}")
    assert before is not None
    assert after is not None
    assert np.abs(before.astype(int) - after)[truth(FRAMES - 1)].mean() > 40
    for mode in ("split", "difference", "after"):
        page.page.check(f"[name=compare][value={mode}]")
    page.page.fill("#split", "20")

    page.page.click("#copy")
    page.page.wait_for_selector("#copy[data-command]", timeout=PATIENCE)
    command = str(page.page.get_attribute("#copy", "data-command"))
    words = shlex.split(command)
    assert words[:2] == ["vremove", "erase"]
    again = tmp_path / "again.mp4"
    ran = [sys.executable, "-m", "vremove_cli", *words[1:], "-o", str(again)]
    subprocess.run(ran, check=True, capture_output=True)
    assert again.read_bytes() == result.read_bytes()


def test_a_licence_is_accepted_on_the_page_and_in_the_command(page: PickPage) -> None:
    page.click(*middle(0))
    page.shows_masks(0, 1)
    page.page.select_option("#remover", "minimax")
    page.page.wait_for_selector("#licence:not([hidden])", timeout=PATIENCE)
    assert "CC-BY-NC-4.0" in page.page.inner_text("#cost")
    page.page.click("#accept")
    page.page.click("#copy")
    page.page.wait_for_selector("#copy[data-command]", timeout=PATIENCE)
    command = str(page.page.get_attribute("#copy", "data-command"))
    assert command.endswith("--remover minimax --accept-license minimax-remover")


def test_everything_can_be_done_with_keys(page: PickPage) -> None:
    keys = page.page.keyboard
    page.page.focus("#view")
    x, y = middle(2)
    keys.press("ArrowRight")
    keys.press("ArrowRight")
    page.page.wait_for_selector('#view[data-index="2"]', timeout=PATIENCE)
    for key, steps in (("ArrowLeft", (SIZE[0] / 2 - x) / 8), ("ArrowDown", (y - SIZE[1] / 2) / 8)):
        keys.down("Alt")
        for _ in range(max(1, round(abs(steps)))):
            keys.press(key)
        keys.up("Alt")
    keys.press("Enter")
    page.shows_masks(2, 1)
    assert iou(page.mask(2), truth(2)) > 0.8
    keys.press("f")
    page.ends("follow")
    keys.press("e")
    page.ends("erase")
    keys.down("o")
    keys.up("o")


def test_every_control_has_a_name(page: PickPage) -> None:
    script = """() => [...document.querySelectorAll("button, input, select, canvas[tabindex]")]
        .filter(e => !(e.labels?.length || e.textContent.trim() || e.getAttribute("aria-label")))
        .map(e => e.outerHTML)"""
    assert page.page.evaluate(script) == []


def test_a_reload_in_the_middle_of_work_goes_on(page: PickPage, clip: Path) -> None:
    page.click(*middle(0))
    page.shows_masks(0, 1)
    page.page.keyboard.press("f")
    page.page.wait_for_selector("#job:not([hidden])", timeout=PATIENCE)
    page.page.reload()
    page.page.wait_for_selector("body[data-ready]", timeout=PATIENCE)
    page.ends("follow")
    assert len(page.state["clicks"]) == 1


def test_a_restarted_server_goes_on(browser: Browser, clip: Path) -> None:
    with serving(clip, "--point", "5,100") as address:
        assert len(opened(browser, address).state["clicks"]) == 1
    with serving(clip) as address:
        shown = opened(browser, address)
        assert [c["at"] for c in shown.state["clicks"]] == [[5.0, 100.0]]
        shown.page.close()


def test_two_tabs_see_the_same(browser: Browser, page: PickPage) -> None:
    other = opened(browser, page.address)
    page.click(*middle(0))
    other.page.wait_for_selector("#undo:enabled", timeout=PATIENCE)
    other.shows_masks(0, 1)
    page.shows_masks(0, 1)
    assert other.page.inner_text("#mask-said") == page.page.inner_text("#mask-said") != ""
    other.page.close()


def test_a_running_command_can_be_cancelled(page: PickPage) -> None:
    page.click(*middle(0))
    page.shows_masks(0, 1)
    page.page.click("#erase")
    page.page.click("#cancel", timeout=PATIENCE)
    page.page.wait_for_selector("#erase-said.bad", timeout=PATIENCE)
    assert page.state["job"]["ended"]
    page.page.wait_for_selector("#erase:enabled", timeout=PATIENCE)


@pytest.mark.parametrize("rotation", [0, 90])
def test_the_picture_is_that_of_frame(browser: Browser, tmp_path: Path, rotation: int) -> None:
    clip = write_clip(tmp_path / "a.mov", size=(96, 64), rotation=rotation)
    with serving(clip) as address:
        shown = opened(browser, address)
        found = shown.picture("frame/4")
        shown.page.close()
    reader = open_clip(str(clip))
    (frame,) = reader.frames(4, 5)
    assert found is not None
    assert np.array_equal(found, reader.info.orientation.display(frame.rgb8()))


def test_what_the_command_line_refuses_is_refused_here(page: PickPage) -> None:
    page.click(*middle(0), button="right")
    page.page.wait_for_selector("#said:not(:empty)", timeout=PATIENCE)
    assert "negative point" in page.page.inner_text("#said")
    assert page.state["clicks"] == []


def test_prompts_json_is_documented(page: PickPage, clip: Path) -> None:
    page.click(*middle(0))
    page.shows_masks(0, 1)
    data = json.loads(clip.with_name("clip.prompts.json").read_text())
    assert (data["type"], data["schema"]) == ("prompts", 1)
    assert data["prompts"][0]["kind"] == "point"
