"""The detector and the vision-language model on a pretended GPU, against the CPU."""

from pathlib import Path

import numpy as np
import pytest

from support.clips import scene
from support.pretended_gpu import pretended_gpu
from support.twins import dino_repo, reasoner_repo
from vremove_cli.detection.grounding_dino import Detection, detect, load_detector
from vremove_cli.detection.vlm import ask_what_moves, load_vlm
from vremove_cli.geometry import Box
from vremove_cli.networks.model_pool import pool

ANSWER = '{"moves": [{"name": "cup", "rows": [5, 6], "columns": [8, 9]}]}'
PICTURE = scene(0, 96, 64)


@pytest.fixture(scope="module")
def detector_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(tmp_path_factory.mktemp("detector"), dino_repo())


@pytest.fixture(scope="module")
def vlm_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(tmp_path_factory.mktemp("vlm"), reasoner_repo(ANSWER))


def written(folder: Path, files: dict[str, bytes]) -> str:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return str(folder)


def detected(folder: str, device: str) -> list[Detection]:
    pool.release("detect")
    try:
        return detect(load_detector(folder, device), PICTURE, "the red ball")
    finally:
        pool.release("detect")


def answered(folder: str, device: str) -> list[tuple[str, Box]]:
    pool.release("reason")
    try:
        return ask_what_moves(load_vlm(folder, device), PICTURE, PICTURE[..., 0] > 250)
    finally:
        pool.release("reason")


def test_the_detector_finds_the_same_boxes_on_a_gpu(detector_folder: str) -> None:
    with pretended_gpu():
        found = detected(detector_folder, "cuda")
    exact = detected(detector_folder, "cpu")
    assert exact
    assert np.allclose([d.box for d in found], [d.box for d in exact], atol=0.01)


def test_only_boxes_and_scores_are_copied_to_the_host(detector_folder: str) -> None:
    with pretended_gpu() as gpu:
        detected(detector_folder, "cuda")
    assert gpu.to_host.counts.total() <= 2, gpu.to_host.counts


def test_the_detector_leaves_nothing_on_the_gpu_once_it_is_released(detector_folder: str) -> None:
    with pretended_gpu() as gpu:
        detected(detector_folder, "cuda")
        assert gpu.allocated() == 0 < gpu.peak


def test_the_vision_language_model_gives_the_same_answer_on_a_gpu(vlm_folder: str) -> None:
    with pretended_gpu():
        found = answered(vlm_folder, "cuda")
    assert found == answered(vlm_folder, "cpu")


def test_the_vision_language_model_leaves_nothing_on_the_gpu_once_it_is_released(vlm_folder: str) -> None:
    with pretended_gpu() as gpu:
        answered(vlm_folder, "cuda")
        assert gpu.allocated() == 0 < gpu.peak
