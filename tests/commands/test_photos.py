"""Many photos: a list, a pattern, a folder; and a folder that is a sequence stays one."""

from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from support.clips import mask_of, scene
from support.command import Vremove
from vremove_cli.batch.jobs import clips_of
from vremove_cli.errors import MediaError
from vremove_cli.media import sequence

_MOST_GROWTH = 20 << 20  # bytes: 0.2 MB a photo would show, the allocator alone takes less
NAMES = ("beach.jpg", "dog 2.jpg", "IMG_1.png")


def photo(path: Path, size: tuple[int, int] = (96, 64), t: int = 0) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(scene(t, *size)).save(path)
    return path


def folder_of(folder: Path, names: tuple[str, ...], *sizes: tuple[int, int]) -> str:
    for i, name in enumerate(names):
        photo(folder / name, sizes[i % len(sizes)] if sizes else (96, 64))
    return str(folder)


def clips(folder: str) -> list[str]:
    return [Path(p).name for p in clips_of(folder)]


def test_pictures_that_are_named_differently_are_photos(tmp_path: Path) -> None:
    assert clips(folder_of(tmp_path / "photos", NAMES)) == sorted(NAMES)


def test_numbered_pictures_in_both_formats_are_photos(tmp_path: Path) -> None:
    names = ("IMG_1.jpg", "IMG_2.jpg", "IMG_3.jpg")
    assert clips(folder_of(tmp_path / "photos", names, (96, 64), (64, 96))) == list(names)


def test_one_numbered_picture_of_another_size_may_be_a_slip(tmp_path: Path) -> None:
    names = ("shot.1.png", "shot.2.png", "shot.3.png")
    assert clips(folder_of(tmp_path / "shot", names, (96, 64), (96, 64), (64, 64))) == ["shot"]


def test_numbered_pictures_of_many_sizes_are_photos(tmp_path: Path) -> None:
    names = ("IMG_1.jpg", "IMG_2.jpg", "IMG_3.jpg")
    assert clips(folder_of(tmp_path / "photos", names, (96, 64), (80, 64), (96, 48))) == list(names)


def test_numbered_pictures_of_one_size_stay_a_sequence(tmp_path: Path) -> None:
    names = tuple(f"IMG_{i}.jpg" for i in range(20))
    assert clips(folder_of(tmp_path / "shot", names)) == ["shot"]


def test_a_sequence_with_a_picture_beside_it_is_not_torn_apart(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "shot", ("a1.png", "a2.png", "cover.png"))
    assert clips(folder) == ["shot"]
    with pytest.raises(MediaError) as refusal:
        sequence.find(folder)
    assert f"{folder}/*.png" in str(refusal.value.advice)


def test_results_are_no_photos(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "photos", ("a.jpg", "b.jpg", "a.clean.jpg"))
    assert clips(folder) == ["a.jpg", "b.jpg"]


def test_a_folder_of_photos_gives_a_result_for_each(vremove: Vremove, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "photos", NAMES, (96, 64), (64, 96))
    done = vremove("erase", folder, "--box", "0%,30%,60%,70%")
    assert done.status == 0, done.stderr
    assert "1 picture, 64x96" in done.stderr
    for name in NAMES:
        path = tmp_path / "photos" / name
        assert path.with_name(f"{path.stem}.clean{path.suffix}").exists()


def test_each_photo_has_its_own_mask_by_its_stem(vremove: Vremove, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "photos", NAMES)
    (tmp_path / "masks").mkdir()
    for name in NAMES:
        Image.fromarray(mask_of(0, 96, 64)).save(tmp_path / "masks" / f"{Path(name).stem}.png")
    assert vremove("erase", folder, "--mask", tmp_path / "masks").status == 0


@pytest.mark.parametrize("exists", [False, True])
def test_results_go_into_a_folder(vremove: Vremove, tmp_path: Path, exists: bool) -> None:
    folder = folder_of(tmp_path / "photos", NAMES)
    if exists:
        (tmp_path / "out").mkdir()
    done = vremove("erase", folder, "--box", "0%,30%,60%,70%", "-o", f"{tmp_path}/out/")
    assert done.status == 0, done.stderr
    assert len([p for p in (tmp_path / "out").iterdir() if p.suffix in (".jpg", ".png")]) == len(NAMES)


def test_photos_that_look_like_a_sequence_are_pointed_out(vremove: Vremove, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "photos", tuple(f"IMG_{i}.jpg" for i in range(3)))
    assert f"for photos, each of its own, give '{folder}/*.jpg'" in vremove("info", folder).stdout


@pytest.mark.slow
def test_many_photos_leave_the_memory_as_it_was(vremove: Vremove, tmp_path: Path) -> None:
    """80 photos in one process, in two halves: what the first half took is enough for the second."""
    mask = np.zeros((32, 48), np.uint8)
    mask[10:12, 10:12] = 255  # so thin that no patches are searched, which takes most of a photo's time
    Image.fromarray(mask).save(tmp_path / "mask.png")
    for t in range(80):
        photo(tmp_path / f"{t // 40}" / f"{t} x.png", (48, 32), t)
    used = []
    for half in range(2):
        folder, out = tmp_path / str(half), tmp_path / "out"
        done = vremove("erase", f"{folder}/*.png", "--mask", tmp_path / "mask.png", "--effects", "off", "-o", f"{out}/")
        assert done.status == 0, done.stderr
        used.append(psutil.Process().memory_info().rss)
    assert len(list((tmp_path / "out").glob("*.clean.png"))) == 80
    assert used[1] < used[0] + _MOST_GROWTH
