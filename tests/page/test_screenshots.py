"""The pictures of the README: pick and review on the example. VREMOVE_SCREENSHOTS=docs writes them anew."""

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
from playwright.sync_api import Browser

from support.browser import PATIENCE, opened, serving

EXAMPLE = Path(__file__).parents[2] / "examples/street.mp4"
BALL = (150, 275)


def test_the_pictures_of_the_readme(browser: Browser, tmp_path: Path) -> None:
    target = Path(os.environ.get("VREMOVE_SCREENSHOTS") or tmp_path)
    clip = Path(shutil.copy(EXAMPLE, tmp_path / "street.mp4"))
    with serving(clip) as address:
        page = opened(browser, address)
        page.click(*BALL)
        page.shows_masks(0, 1)
        page.page.click("#follow")
        page.ends("follow")
        page.page.focus("#timeline")
        for _ in range(4):
            page.page.keyboard.press("Shift+ArrowRight")
        page.page.wait_for_selector('#view[data-masks="40/1/1"]', timeout=PATIENCE)
        page.page.screenshot(path=target / "pick.jpg", type="jpeg", quality=82)
        page.page.click("#erase")
        page.ends("erase")
        page.page.close()
    with serving(tmp_path / "street.clean.vremove.json", "-o", tmp_path / "v.jsonl", command="review") as address:
        shown = browser.new_page(viewport={"width": 1280, "height": 720})
        shown.goto(address)
        shown.wait_for_selector('body[data-opened="0"]', timeout=PATIENCE)
        shown.check("[name=compare][value=split]")
        shown.fill("#split", "20.5")
        shown.keyboard.press("Tab")
        shown.wait_for_selector('#view[data-exact="true"]', timeout=PATIENCE)
        shown.wait_for_timeout(200)
        shown.screenshot(path=target / "review.jpg", type="jpeg", quality=82)
        shown.close()
    for name in ("pick.jpg", "review.jpg"):
        picture = cv2.imread(str(target / name))
        assert picture is not None
        assert picture.shape == (720, 1280, 3)
        assert np.unique(picture.reshape(-1, 3), axis=0).shape[0] > 5000
