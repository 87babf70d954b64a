"""Settings: flags over the environment over vremove.toml, and one sentence for what is wrong with the file."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer.main

from support.clips import write_clip, write_masks
from support.command import Vremove
from support.refusals import assert_refused
from vremove_cli import app, settings
from vremove_cli.commands.signature import options_of_commands
from vremove_cli.errors import UsageError

OWN_MODEL = """[mine]
repo = "someone/mine"
files = ["model.safetensors"]
task = "track"
licence = "MIT"
commercial = true
"""


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clip in the working folder."""
    monkeypatch.chdir(tmp_path)
    return write_clip(tmp_path / "clip.mp4")


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    return write_masks(tmp_path / "masks")


def write(folder: Path, text: str) -> Path:
    path = folder / settings.FILE
    path.write_text(text, encoding="utf-8")
    return path


WRONG = {
    "unknown table": ("[erase]\ncrf = 12\n\n[eras]\ncrf = 12\n", 4, "no command 'eras': did you mean 'erase'?"),
    "unknown key": ("[erase]\n# quality\ncrff = 12\n", 3, "[erase] has no option 'crff': did you mean 'crf'?"),
    "key of another command": ("[mask]\ncrf = 12\n", 2, "[mask] has no option 'crf'"),
    "dashes": ("[erase]\nnot-poin = '1,2'\n", 2, "has no option 'not-poin': did you mean 'not_point'?"),
    "argument": ("[erase]\ninputs = 'a.mp4'\n", 2, "[erase] has no option 'inputs'"),
    "wrong type": ("[erase]\ncrf = 'low'\n", 2, "--crf low is not a whole number: give a whole number"),
    "list for one value": ("[erase]\ncrf = [12, 14]\n", 2, "--crf [12, 14] is not a whole number"),
    "table for a value": ("[erase]\n[erase.point]\nx = 1\n", 2, "--point {'x': 1} is not X,Y"),
    "a date": ("[erase]\nstart = 2024-01-01\n", 2, "--start datetime.date(2024, 1, 1) is not WHEN"),
    "number for text": ("[erase]\ntext = 4\n", 2, "--text 4 is not a text: give PHRASE"),
    "neither true nor false": ("[erase]\noverwrite = 'perhaps'\n", 2, "--overwrite perhaps is neither true nor false"),
    "out of range": ("[mask]\ntext = 'dog'\n[erase]\ncrf = 99\n", 4, "--crf 99 is out of range"),
    "unknown choice": ("[erase]\nquality = 'good'\n", 2, "--quality good is unknown: choose one of draft, standard"),
    "subcommand": ("[models_list]\njson = true\n", 1, "there is no command 'models_list'"),
    "no table": ("crf = 12\n", 1, "'crf' stands outside any table: put it under [erase]"),
    "own option of a command": ("[frame]\nat = 5\n", 2, "at = 5 is neither text nor true or false"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named_with_its_line(vremove: Vremove, clip: Path, tmp_path: Path, name: str) -> None:
    text, line, says = WRONG[name]
    write(tmp_path, text)
    assert_refused(vremove, tmp_path, 2, f"{settings.FILE}:{line}: ", "info", clip)
    assert_refused(vremove, tmp_path, 2, says, "info", clip)


@pytest.mark.parametrize("text", ["[erase\ncrf = 12\n", "[erase]\ncrf = \n", "[erase]\ncrf = 1\ncrf = 2\n"])
def test_a_syntax_error_is_named_with_its_line(vremove: Vremove, clip: Path, tmp_path: Path, text: str) -> None:
    write(tmp_path, text)
    done = vremove("info", clip)
    assert done.status == 2
    assert f"{settings.FILE} cannot be read" in done.stderr
    assert "line " in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_broken_file_does_not_break_the_help(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    write(tmp_path, "[erase\n")
    for arguments in (
        ["--help"],
        ["erase", "--help"],
        ["erase", "-h"],
        ["models", "list", "--help"],
        ["--version"],
        [],
    ):
        assert vremove(*arguments).status == 0


def test_doctor_names_the_file_that_was_read(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    assert json.loads(vremove("doctor", "--json").stdout)["settings"] is None
    path = write(tmp_path, "[erase]\ncrf = 12\n")
    assert json.loads(vremove("doctor", "--json").stdout)["settings"] == str(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [("[erase\n", "cannot be read"), ("[erase]\ncrf = 99\n", f"{settings.FILE}:2: --crf 99 is out of range")],
)
def test_doctor_says_what_is_wrong_with_the_file(
    vremove: Vremove, clip: Path, tmp_path: Path, text: str, says: str
) -> None:
    write(tmp_path, text)
    done = vremove("doctor", "--json")
    assert done.status == 1
    assert says in json.loads(done.stdout)["problems"][0]


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ('point = "64,108"', "point", ["64,108"]), ("point = [64, 108]", "point", ["64,108"]),
        ("point = [[64, 108], [1, 2, 3]]", "point", ["64,108", "@3:1,2"]),
        ('point = ["64,108", "@4.5s:1,2"]', "point", ["64,108", "@4.5s:1,2"]),
        ("size = [720, 480]", "size", "720x480"), ("start = 4.5", "start", "4.5s"), ("end = 12", "end", "12"),
        ("recover = false", "recover", "off"), ("second-pass = true", "second_pass", "on"),
        ("grow = 3", "grow", "3"), ('grow = "auto"', "grow", "auto"), ("overwrite = true", "overwrite", True),
        ("pick = 2", "pick", ["2"]), ("pick = [1, 3]", "pick", ["1", "3"]), ("feather = 1", "feather", "1.0"),
    ],
)  # fmt: skip
def test_a_value_reaches_the_command_as_the_flag_would(
    clip: Path, tmp_path: Path, text: str, name: str, value: Any
) -> None:
    write(tmp_path, f"[erase]\n{text}\n")
    assert settings.load(options_of_commands())["erase"] == {name: value}


def test_a_point_may_be_text_or_a_list(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    plans = []
    for k, text in enumerate(('"12,32"', "[12, 32]", '["12,32"]', "[[12, 32]]")):
        write(tmp_path, f"[erase]\npoint = {text}\n")
        assert vremove("plan", clip, "--work", tmp_path / f"w{k}").status == 0
        plans.append(json.loads((tmp_path / f"w{k}" / "plan.json").read_text())["request"]["point"])
    assert plans == [["12,32"]] * 4


def crf_of_a_plan(vremove: Vremove, clip: Path, masks: Path, *more: str) -> int:
    """Plan a job and return its --crf."""
    work = clip.parent / f"w{len(list(clip.parent.iterdir()))}"
    done = vremove("plan", clip, "--mask", masks, "--work", work, *more)
    assert done.status == 0, done.stderr
    return int(json.loads((work / "plan.json").read_text())["request"]["crf"])


def test_a_flag_wins_over_the_environment_and_that_over_the_file(
    vremove: Vremove, clip: Path, masks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "[erase]\ncrf = 30\n")
    assert crf_of_a_plan(vremove, clip, masks) == 30
    write(tmp_path, "[plan]\ncrf = 28\n[erase]\ncrf = 30\n")
    assert crf_of_a_plan(vremove, clip, masks) == 28
    monkeypatch.setenv("VREMOVE_ERASE_CRF", "21")
    assert crf_of_a_plan(vremove, clip, masks) == 21
    monkeypatch.setenv("VREMOVE_PLAN_CRF", "20")
    assert crf_of_a_plan(vremove, clip, masks) == 20
    assert crf_of_a_plan(vremove, clip, masks, "--crf", "12") == 12


def test_what_erase_alone_has_does_not_break_plan(vremove: Vremove, clip: Path, masks: Path, tmp_path: Path) -> None:
    write(tmp_path, "[erase]\noverwrite = true\nkeep_work = true\nwrite_preview = 'sheet.png'\ncrf = 30\n")
    assert crf_of_a_plan(vremove, clip, masks) == 30


def test_the_environment_counts_for_erase(
    vremove: Vremove, clip: Path, masks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VREMOVE_ERASE_CRF", "21")
    monkeypatch.setenv("VREMOVE_ERASE_QUIET", "true")
    done = vremove("erase", clip, "--mask", masks, "--json")
    assert json.loads(done.stdout)["encoder"] == "libx264 yuv420p crf 21"
    assert done.stderr == ""


def test_a_wrong_environment_variable_is_refused(
    vremove: Vremove, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value, says in (
        ("VREMOVE_ERASE_CRF", "99", "--crf 99 is out of range"),
        ("VREMOVE_ERASE_PROGRESS", "loud", "--progress loud is unknown"),
        (
            "VREMOVE_ERASE_OVERWRITE",
            "perhaps",
            "VREMOVE_ERASE_OVERWRITE=perhaps is neither true nor false: set it to 1 or 0",
        ),
    ):
        with monkeypatch.context() as once:
            once.setenv(name, value)
            assert_refused(vremove, tmp_path, 2, says, "erase", clip, "--point", "12,32")


def test_one_variable_names_the_users_models_everywhere(
    vremove: Vremove, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own.toml"
    own.write_text(OWN_MODEL)
    monkeypatch.setenv("VREMOVE_MODELS", str(own))
    assert "mine" in vremove("models", "list").stdout
    assert "someone/mine" in vremove("models", "show", "mine").stdout
    monkeypatch.setenv("VREMOVE_MODELS", str(tmp_path / "none.toml"))
    for arguments in (("erase", clip, "--point", "12,32"), ("plan", clip, "--point", "12,32"), ("models", "list")):
        assert_refused(vremove, tmp_path, vremove(*arguments).status, str(tmp_path / "none.toml"), *arguments)


def commands_with(name: str) -> dict[str, list[str]]:
    """Return the environment variables of an option, by command."""
    root: Any = typer.main.get_command(app.app)
    every = {**root.commands, **{f"models_{n}": c for n, c in root.commands["models"].commands.items()}}
    return {n: list(p.envvar) for n, c in every.items() for p in getattr(c, "params", ()) if p.name == name}


def test_variables_for_all_commands() -> None:
    models, accepted = commands_with("models"), commands_with("accept_license")
    subcommands = {f"models_{name}" for name in ("list", "show", "pull", "verify", "rm", "lock")}
    assert set(models) == {"erase", "mask", "pick", "plan", "score", *subcommands}
    assert set(accepted) == {"erase", "mask", "pick", "plan", "score", "models_pull", "models_lock"}
    assert all("VREMOVE_MODELS" in names for names in models.values())
    assert all("VREMOVE_ACCEPT_LICENSE" in names for names in accepted.values())
    assert commands_with("crf") == {"erase": ["VREMOVE_ERASE_CRF"], "plan": ["VREMOVE_PLAN_CRF", "VREMOVE_ERASE_CRF"]}


def test_accepted_licences_reach_the_plan(
    vremove: Vremove, clip: Path, masks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VREMOVE_ACCEPT_LICENSE", "sam2-tiny CC-BY-NC-4.0")
    assert vremove("plan", clip, "--mask", masks, "--work", tmp_path / "w").status == 0
    request = json.loads((tmp_path / "w" / "plan.json").read_text())["request"]
    assert request["accept_license"] == ["sam2-tiny", "CC-BY-NC-4.0"]


def test_variables_of_other_names_do_nothing(
    vremove: Vremove, clip: Path, masks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("VREMOVE_VERSION", "VREMOVE_HELP", "VREMOVE_INFO_HELP", "VREMOVE_CRF", "VREMOVE_OUTPUT"):
        monkeypatch.setenv(name, "1")
    done = vremove("info", clip)
    assert "frames: 10" in done.stdout
    assert "0.1.0" not in done.stdout.splitlines()
    assert vremove("erase", clip, "--mask", masks, "--dry-run").status == 0


def test_only_the_first_file_counts(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "config" / "vremove"
    own.mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(own.parent))
    write(own, "[erase]\ncrf = 30\npreset = 'slow'\n")
    assert settings.files_read() == [own / settings.FILE]
    here = write(tmp_path, "[erase]\ncrf = 12\n")
    assert settings.files_read() == [here]
    assert settings.load(options_of_commands())["erase"] == {"crf": "12"}


def test_text_that_is_no_utf8_is_refused(clip: Path, tmp_path: Path) -> None:
    (tmp_path / settings.FILE).write_bytes(b"[erase]\ntext = '\xff'\n")
    with pytest.raises(UsageError, match="cannot be read"):
        settings.load(options_of_commands())
