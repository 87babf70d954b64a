"""models.toml: what its header documents is what the code knows, and its tables are consistent."""

import re
from dataclasses import fields
from fnmatch import fnmatch
from pathlib import Path

import pytest

from support.twins import checkpoints
from vremove_cli.errors import ModelError
from vremove_cli.job.workdir.records import from_json, to_json
from vremove_cli.removers import registry
from vremove_cli.removers.base import Settings
from vremove_cli.weights.catalogue import ARCHITECTURES, FILE, TASKS, Model, catalogue
from vremove_cli.weights.store import Checkpoint

ROOT = Path(__file__).parents[2]


def documented() -> dict[str, str]:
    """The header's entries: a value's name, and its text in one line."""
    entries: dict[str, str] = {}
    name = ""
    for line in (ROOT / FILE).read_text(encoding="utf-8").split("\n\n")[0].splitlines():
        if found := re.match(r"# ([a-z_]+) {2,}(.+)", line):
            name = found[1]
            entries[name] = found[2]
        elif name and line.startswith("#  "):
            entries[name] += " " + line.removeprefix("#").strip()
    return entries


def names_in(text: str) -> set[str]:
    """The names of a list such as `How: track (a tracker), base (a part). More.`"""
    first = re.sub(r"\(.*?\)", "", text).split(".")[0].rpartition(":")[2]
    return {name.strip() for name in first.split(",")}


def test_the_header_names_every_task_and_no_other() -> None:
    assert names_in(documented()["task"]) == set(TASKS)


def test_the_header_names_every_architecture_and_no_other() -> None:
    assert names_in(documented()["architecture"]) == set(ARCHITECTURES)


def test_the_header_describes_every_value_of_a_table() -> None:
    described = set(documented()) | set(re.findall(r"(\w+) is its page", " ".join(documented().values())))
    assert described == {f.name for f in fields(Model)} - {"name"}


def test_the_header_names_every_part_that_a_table_has() -> None:
    named = names_in(documented()["parts"].partition("Removers look for")[2])
    assert {part for model in catalogue().values() for part in model.parts} == named


def test_every_task_and_architecture_has_a_model() -> None:
    models = catalogue().values()
    assert {m.task for m in models} == set(TASKS)
    assert {m.architecture for m in models if m.architecture} == set(ARCHITECTURES)


def test_every_part_is_among_the_files_that_are_fetched() -> None:
    for model in catalogue().values():
        for candidates in model.parts.values() if model.repo else ():
            assert any(fnmatch(c, f) or fnmatch(f, f"{c}/*") for c in candidates for f in model.files), model.name


def test_every_model_of_a_remover_states_its_parts() -> None:
    known = catalogue()
    assert all(known[name].parts for remover in registry.names() for name in registry.spec_of(remover).models)


def test_there_is_one_copy() -> None:
    assert not (ROOT / "vremove_cli/weights" / FILE).exists()


def test_a_part_is_the_first_that_exists(tmp_path: Path) -> None:
    rose = checkpoints({"rose": tmp_path})["rose"]
    with pytest.raises(ModelError, match=r"holds no diffusion_pytorch_model\.safetensors or transformer/diff"):
        rose.part("transformer")
    for folder in ("transformer", "."):
        (tmp_path / folder).mkdir(exist_ok=True)
        file = tmp_path / folder / "diffusion_pytorch_model.safetensors"
        file.touch()
        assert rose.part("transformer") == file


def test_a_file_of_the_users_own_is_the_only_part_of_a_model(tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    file.touch()
    own = checkpoints({"undereraser": file, "wan-fun-14b": file})
    assert own["undereraser"].part("lora") == file
    with pytest.raises(ModelError, match=r"holds no Wan2\.1_VAE\.pth"):
        own["wan-fun-14b"].part("vae")


def test_a_plan_holds_a_checkpoint_as_it_is() -> None:
    import json

    for model in catalogue().values():
        stored = Checkpoint(model, "folder", "abc")
        assert from_json(Checkpoint, json.loads(json.dumps(to_json(stored)))) == stored
        assert hash(stored) == hash(Checkpoint(model, "folder", "abc"))


def test_settings_give_plug_ins_the_paths_of_their_models() -> None:
    settings = Settings(checkpoints=checkpoints({"rose": "/weights/rose"}))
    assert settings.model_paths == {"rose": "/weights/rose"}
