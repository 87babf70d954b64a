"""The page of `vremove review` in a real browser: a sheet, a comparison, a verdict on each result, and a way back."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from support.browser import PATIENCE, serving
from support.clips import square, write_clip
from support.command import Vremove
from vremove_cli import erase
from vremove_cli.page.review import read_report

SIZE, FRAMES = (160, 120), 12


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two results and their reports."""
    folder = tmp_path_factory.mktemp("done")
    for name in ("a", "b"):
        clip = write_clip(folder / f"{name}.mp4", size=SIZE, frames=FRAMES)
        x0, y0, x1, y1 = square(0, *SIZE)
        erase(str(clip), box=f"@0:{x0 - 2},{y0 - 2},{x1 + 2},{y1 + 2}", effects="off")
    return folder


@pytest.fixture
def page(browser: Browser, done: Path, tmp_path: Path) -> Iterator[Page]:
    with serving(done, "-o", tmp_path / "verdicts.jsonl", command="review") as address:
        shown = browser.new_page(viewport={"width": 1280, "height": 720})
        shown.goto(address)
        shown.wait_for_selector("body[data-ready]", timeout=PATIENCE)
        yield shown
        shown.close()


def verdicts(folder: Path) -> list[tuple[str, str, str]]:
    lines = [json.loads(line) for line in (folder / "verdicts.jsonl").read_text().splitlines()]
    assert all(line["type"] == "review" and line["schema"] == 1 for line in lines)
    return [(Path(line["output"]).name, line["verdict"], line["note"]) for line in lines]


def test_results_are_judged_with_keys(page: Page, tmp_path: Path) -> None:
    assert page.locator(".card").count() == 2
    page.click(".card >> nth=0")
    page.wait_for_selector('body[data-opened="0"]', timeout=PATIENCE)
    page.keyboard.press("a")
    page.wait_for_selector('body[data-opened="1"]', timeout=PATIENCE)
    page.keyboard.press("n")
    page.keyboard.type("a halo")
    page.keyboard.press("Enter")
    page.wait_for_selector('body[data-judged="1/"]', timeout=PATIENCE)
    page.keyboard.press("r")
    page.wait_for_selector('body[data-judged="1/reject"]', timeout=PATIENCE)
    page.keyboard.press("Escape")
    page.wait_for_selector(".card.reject", timeout=PATIENCE)
    assert page.locator(".card.accept").count() == 1
    expected = [("a.clean.mp4", "accept", ""), ("b.clean.mp4", "", "a halo"), ("b.clean.mp4", "reject", "a halo")]
    assert verdicts(tmp_path) == expected


def test_a_verdict_is_taken_back_and_a_new_page_knows_it(
    browser: Browser, page: Page, done: Path, tmp_path: Path
) -> None:
    page.click(".card >> nth=1")
    page.wait_for_selector('body[data-opened="1"]', timeout=PATIENCE)
    page.keyboard.press("r")
    page.wait_for_selector('body[data-judged="1/reject"]', timeout=PATIENCE)
    with serving(done, "-o", tmp_path / "verdicts.jsonl", command="review") as address:
        other = browser.new_page()
        other.goto(address)
        other.wait_for_selector(".card.reject", timeout=PATIENCE)
        other.close()
    page.keyboard.press("u")
    page.wait_for_selector('body[data-judged="1/"]', timeout=PATIENCE)
    assert [verdict for _, verdict, _ in verdicts(tmp_path)] == ["reject", ""]


def pixels(page: Page) -> np.ndarray:
    """What the canvas shows in the middle of the object, (3,) float."""
    x0, y0, x1, y1 = square(0, *SIZE)
    script = """([x, y, w, h]) => {
        const c = document.getElementById("view"), r = c.getBoundingClientRect(), k = c.width / r.width;
        const s = Math.min(r.width / w, r.height / h);
        const at = [(r.width - w * s) / 2 + x * s, (r.height - h * s) / 2 + y * s];
        return [...c.getContext("2d").getImageData(at[0] * k, at[1] * k, 1, 1).data].slice(0, 3); }"""
    return np.array(page.evaluate(script, [(x0 + x1) / 2, (y0 + y1) / 2, *SIZE]), float)


def test_before_after_and_split_show_what_they_say(page: Page) -> None:
    page.click(".card >> nth=0")
    page.wait_for_selector('body[data-opened="0"]', timeout=PATIENCE)
    page.wait_for_selector('#view[data-exact="true"]', timeout=PATIENCE)
    seen = {}
    for mode in ("before", "after", "split"):
        page.check(f"[name=compare][value={mode}]")
        page.wait_for_timeout(100)
        seen[mode] = pixels(page)
    assert np.abs(seen["before"] - seen["after"]).max() > 40
    assert np.allclose(seen["split"], seen["before"], atol=3)  # the object is in the left half
    page.check("[name=compare][value=after]")
    page.keyboard.down("o")
    page.wait_for_timeout(100)
    assert np.allclose(pixels(page), seen["before"], atol=3)
    page.keyboard.up("o")
    page.wait_for_timeout(100)
    assert np.allclose(pixels(page), seen["after"], atol=3)


def test_redo_opens_pick_with_the_jobs_clicks(page: Page, done: Path) -> None:
    page.click(".card >> nth=0")
    page.wait_for_selector('body[data-opened="0"]', timeout=PATIENCE)
    with page.expect_popup() as popup:
        page.click("#redo")
    pick = popup.value
    pick.wait_for_selector("body[data-ready]", timeout=PATIENCE)
    pick.wait_for_selector('#view[data-masks="0/0/1"]', timeout=PATIENCE)
    pick.close()
    prompts = json.loads((done / "a.clean.prompts.json").read_text())["prompts"]
    assert [p["kind"] for p in prompts] == ["box"]


def test_a_report_says_what_was_erased(done: Path) -> None:
    report = read_report(done / "a.clean.vremove.json")
    assert Path(report.input).name == "a.mp4"
    assert report.options["box"]


REFUSED = {
    "no report": ("clip.json", "{}", "is no report"),
    "missing": ("none.vremove.json", None, "is no report"),
    "empty folder": ("", None, "there is no report here"),
}


@pytest.mark.parametrize(("name", "text", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_report_is_refused(tmp_path: Path, vremove: Vremove, name: str, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    outcome = vremove("review", tmp_path / name, "--no-browser")
    assert outcome.status == 2
    assert said in outcome.stderr


def test_a_saved_score_is_shown(browser: Browser, done: Path, tmp_path: Path) -> None:
    saved = done / "a.clean.score.json"
    measures = {"still_there": 0.02, "background": None, "flicker": 1.1, "sharpness": 0.9, "seam": 1.25}
    saved.write_text(json.dumps({"overall": 86.6, **measures}))
    with serving(done, "-o", tmp_path / "verdicts.jsonl", command="review") as address:
        shown = browser.new_page(viewport={"width": 1280, "height": 720})
        shown.goto(address)
        shown.wait_for_selector("body[data-ready]", timeout=PATIENCE)
        assert [card.inner_text().count("score 87") for card in shown.locator(".card").all()] == [1, 0]
        shown.click(".card >> nth=0")
        shown.wait_for_selector('body[data-opened="0"]', timeout=PATIENCE)
        expected = "Score 87 of 100: still there 0.02, flicker 1.10, sharpness 0.90, seam 1.25"
        assert shown.locator("#score").inner_text() == expected
        shown.screenshot(path=str(tmp_path / "page.png"))
        shown.close()
    saved.unlink()
