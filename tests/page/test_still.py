"""The page of `vremove pick` on one picture: a click, its mask, erased, and the command does the same."""

import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser

from support.browser import PATIENCE, opened, serving
from support.clips import mask_of, scene, square

SIZE = (320, 240)


def test_a_photo_is_clicked_erased_and_compared(browser: Browser, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    Image.fromarray(scene(0, *SIZE)).save(photo, quality=92)
    x0, y0, x1, y1 = square(0, *SIZE)
    with serving(photo) as address:
        page = opened(browser, address)
        page.click((x0 + x1) / 2, (y0 + y1) / 2)
        page.shows_masks(0, 1)
        truth = mask_of(0, *SIZE) > 0
        found = page.mask(0)
        assert (found & truth).sum() / (found | truth).sum() > 0.8

        page.page.click("#erase")
        result = Path(page.ends("erase")["result"]["output"])
        assert result == photo.with_name("photo.clean.jpg")
        page.page.wait_for_selector("#compare:enabled", timeout=PATIENCE)
        after = page.picture("result/0")
        assert after is not None
        assert np.abs(scene(0, *SIZE).astype(int) - after)[truth].mean() > 40

        page.page.click("#copy")
        page.page.wait_for_selector("#copy[data-command]", timeout=PATIENCE)
        words = shlex.split(str(page.page.get_attribute("#copy", "data-command")))
        page.page.close()
    again = tmp_path / "again.jpg"
    subprocess.run([sys.executable, "-m", "vremove_cli", *words[1:], "-o", str(again)], check=True, capture_output=True)
    assert again.read_bytes() == result.read_bytes()
