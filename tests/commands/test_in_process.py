"""The tests' own way to run a command: what it changes of this process for a command, it puts back."""

import os
import signal
from pathlib import Path

from huggingface_hub import HfApi, constants, hf_hub_url
from huggingface_hub.utils import _cache_manager

from support import hub as fake
from support.process import Cli, as_in_a_new_process


def test_a_block_has_the_hub_and_the_folder_of_its_environment(tmp_path: Path) -> None:
    def state() -> tuple[object, ...]:
        handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
        return dict(os.environ), Path.cwd(), constants.ENDPOINT, constants.HF_HUB_OFFLINE, handlers

    before, cache = state(), constants.HF_HUB_CACHE
    env = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    with as_in_a_new_process(env, tmp_path):
        assert dict(os.environ) == env
        assert Path.cwd() == tmp_path
        assert HfApi().endpoint == "http://127.0.0.1:9"
        assert hf_hub_url("a/b", "c").startswith("http://127.0.0.1:9/")
        assert constants.is_offline_mode()
        assert vars(_cache_manager)["HF_HUB_CACHE"] == constants.HF_HUB_CACHE == str(tmp_path / "hub")
    assert state() == before
    assert vars(_cache_manager)["HF_HUB_CACHE"] == constants.HF_HUB_CACHE == cache
    with fake.serving({}) as hub:
        assert Cli(hub, tmp_path)("--version")[0].strip()
    assert state() == before
