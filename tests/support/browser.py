"""A real browser on the real page: `vremove pick` in a process of its own, Chromium driven by Playwright."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

PATIENCE = 90_000  # ms


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the system's Chromium; without one the test is skipped, unless VREMOVE_BROWSER_REQUIRED is set."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        if os.environ.get("VREMOVE_BROWSER_REQUIRED"):
            pytest.fail("there is no Chromium, and VREMOVE_BROWSER_REQUIRED is set")
        pytest.skip("there is no Chromium here")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def serving(*arguments: object, command: str = "pick") -> Iterator[str]:
    """Run `vremove pick ARGUMENTS --no-browser`, or another command; yields the page's address."""
    line = [sys.executable, "-m", "vremove_cli", command, *map(str, arguments), "--no-browser"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        try:
            assert address.startswith("http://127.0.0.1:"), process.stderr and process.stderr.read()
            yield address
        finally:
            process.terminate()
            process.wait(20)


@dataclass
class PickPage:
    """The page of `vremove pick` in a tab.

    Attributes:
        page: The tab.
        address: The page's address.
    """

    page: Page
    address: str

    def get(self, path: str) -> Any:
        """Ask the server for JSON."""
        with urlopen(f"{self.address}api/{path}") as answer:
            return json.load(answer)

    @property
    def state(self) -> dict[str, Any]:
        """What the server says."""
        state: dict[str, Any] = self.get("state")
        return state

    def picture(self, path: str) -> np.ndarray | None:
        """A picture (H, W, 3) uint8 R'G'B', or a mask (H, W) uint8; None where there is none."""
        with urlopen(f"{self.address}api/{path}") as answer:
            if answer.status == 204:
                return None
            found = cv2.imdecode(np.frombuffer(answer.read(), np.uint8), cv2.IMREAD_UNCHANGED)
        assert found is not None
        return np.asarray(cv2.cvtColor(found, cv2.COLOR_BGR2RGB) if found.ndim == 3 else found)

    def mask(self, frame: int, name: str = "") -> np.ndarray:
        """The mask (H, W) bool of an object at the size of the clip."""
        found = self.picture(f"mask/{frame}?object={name}")
        assert found is not None
        clip = self.get("clip")
        return np.asarray(cv2.resize(found, (clip["width"], clip["height"])) > 127)

    def on_screen(self, x: float, y: float) -> tuple[float, float]:
        """Where a pixel of the clip is on the screen."""
        script = """([x, y, w, h]) => {
            const c = document.getElementById("view").getBoundingClientRect(), s = Math.min(c.width / w, c.height / h);
            return [c.left + (c.width - w * s) / 2 + x * s, c.top + (c.height - h * s) / 2 + y * s]; }"""
        clip = self.get("clip")
        left, top = self.page.evaluate(script, [x, y, clip["width"], clip["height"]])
        return float(left), float(top)

    def click(self, x: float, y: float, **options: Any) -> None:
        """Click on a pixel of the clip."""
        self.page.mouse.click(*self.on_screen(x, y), **options)

    def drag(self, *points: tuple[float, float]) -> None:
        """Press on the first pixel of the clip, and let go on the last."""
        places = [self.on_screen(*p) for p in points]
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*place, steps=6)
        self.page.mouse.up()

    def shows_masks(self, frame: int, version: int, count: int = 1) -> None:
        """Wait until the masks of a frame are shown as they are after so many changes."""
        self.page.wait_for_selector(f'#view[data-masks="{frame}/{version}/{count}"]', timeout=PATIENCE)

    def ends(self, name: str) -> dict[str, Any]:
        """Wait until a command has ended, and return what is known of it."""
        self.page.wait_for_selector(f"#{name}-said:not(:empty)", timeout=PATIENCE)
        job: dict[str, Any] = self.state["job"]
        assert job["name"] == name
        assert job["ended"]
        assert not job["error"], job["error"]
        return job


def opened(browser: Browser, address: str, *, width: int = 1280, height: int = 720) -> PickPage:
    """Open the page in a new tab."""
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(address)
    page.wait_for_selector("body[data-ready]", timeout=PATIENCE)
    return PickPage(page, address)


def clip_beside(path: Path, copy: Path) -> Path:
    """Copy a clip into a folder of its own."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(path, copy))
