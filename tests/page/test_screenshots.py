"""The pictures of the README: pick and review on the example. VREMOVE_SCREENSHOTS=docs writes them anew."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser

from support.browser import PATIENCE, opened, serving
from vremove_cli.arrays import iou

EXAMPLE = Path(__file__).parents[2] / "examples/street.mp4"
BALL = (150, 275)
FRAMES = 42  # of the example, where the pictures are not to be kept


@dataclass(frozen=True)
class Session:
    """What a session with the example left.

    Attributes:
        pictures: The pages of pick and review.
        ball: Mask of the ball on frame 0 (H, W) bool.
        shadows: Effects of frame 0 (H, W) uint8, before and after the erasure.
    """

    pictures: tuple[Path, Path]
    ball: np.ndarray
    shadows: tuple[np.ndarray | None, np.ndarray | None]


@pytest.fixture(scope="module")
def session(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Session:
    place = tmp_path_factory.mktemp("session")
    kept = os.environ.get("VREMOVE_SCREENSHOTS")
    pick, review = (Path(kept or place) / name for name in ("pick.jpg", "review.jpg"))
    clip = place / "street.mp4"
    if kept:
        shutil.copy(EXAMPLE, clip)
    else:
        first_frames(EXAMPLE, clip)
    with serving(clip) as address:
        page = opened(browser, address)
        page.click(*BALL)
        page.shows_masks(0, 1)
        before = page.picture("effects/0")
        page.page.click("#follow")
        page.ends("follow")
        page.page.focus("#timeline")
        for _ in range(4):
            page.page.keyboard.press("Shift+ArrowRight")
        page.page.wait_for_selector('#view[data-masks="40/1/1"]', timeout=PATIENCE)
        page.page.screenshot(path=pick, type="jpeg", quality=82)
        page.page.click("#erase")
        page.ends("erase")
        page.page.check("#shadow")
        page.page.wait_for_selector('#view[data-masks="40/1/2"]', timeout=PATIENCE)
        found = Session((pick, review), page.mask(0), (before, page.picture("effects/0")))
        page.page.close()
    with serving(place / "street.clean.vremove.json", "-o", place / "v.jsonl", command="review") as address:
        shown = browser.new_page(viewport={"width": 1280, "height": 720})
        shown.goto(address)
        shown.wait_for_selector('body[data-opened="0"]', timeout=PATIENCE)
        shown.check("[name=compare][value=split]")
        shown.fill("#split", "20.5")
        shown.keyboard.press("Tab")
        shown.wait_for_selector('#view[data-exact="true"]', timeout=PATIENCE)
        shown.wait_for_timeout(200)
        shown.screenshot(path=review, type="jpeg", quality=82)
        shown.close()
    return found


def first_frames(source: Path, target: Path) -> None:
    """Copy the packets of a clip's first frames, up to where no later one is shown before them."""
    with av.open(str(source)) as clip, av.open(str(target), "w") as out:
        video = clip.streams.video[0]
        packets = [p for p in clip.demux(video) if p.size]
        places = sorted(p.pts for p in packets)
        count = next(n for n in range(FRAMES, len(packets)) if sorted(p.pts for p in packets[:n]) == places[:n])
        copy = out.add_stream_from_template(video)
        for packet in packets[:count]:
            packet.stream = copy
            out.mux(packet)


def test_the_pictures_of_the_readme(session: Session) -> None:
    for path in session.pictures:
        picture = cv2.imread(str(path))
        assert picture is not None
        assert picture.shape == (720, 1280, 3)
        assert np.unique(picture.reshape(-1, 3), axis=0).shape[0] > 5000


def test_the_shadow_that_was_erased_is_shown(session: Session) -> None:
    before, after = session.shadows
    assert before is None
    assert after is not None
    assert (after > 0).sum() > 500
    assert (after > 0)[:150].sum() == 0
    assert iou(after > 0, session.ball) < 0.5
