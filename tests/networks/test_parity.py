"""Golden files of the references, run through the project's own code."""

from pathlib import Path

import pytest

from parity import ITEMS, compare, main

GOLDEN = Path(__file__).parents[1] / "golden"
FILES = [GOLDEN / f"{item}.safetensors" for item in sorted(ITEMS)]


def test_there_is_a_file_for_each_item() -> None:
    assert all(file.exists() and file.with_suffix(".json").exists() for file in FILES)


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_every_output_is_the_references(file: Path) -> None:
    results = compare(file)
    assert results
    assert not [r for r in results if not r.good]


def test_a_difference_above_its_limit_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from safetensors.torch import load_file, save_file

    file = tmp_path / "void_transformer.safetensors"
    tensors = load_file(GOLDEN / file.name)
    save_file({**tensors, "out/pred_0": tensors["out/pred_0"] + 1e-3}, file)
    file.with_suffix(".json").write_text((GOLDEN / "void_transformer.json").read_text())
    assert main([str(file)]) == 1
    assert "pred_0: 0.001 (at most 1e-05)  ABOVE ITS LIMIT" in capsys.readouterr().out
