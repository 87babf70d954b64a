"""Fetching, checking and deleting models, through the real command and a real server that speaks the Hub's protocol."""

import errno
import hashlib
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from support import hub as fake
from support.process import Cli
from vremove_cli.weights import hub as weights_hub
from vremove_cli.weights.hub import hub_error

BODY = b"".join(hashlib.sha256(str(i).encode()).digest() for i in range(40_000))  # 1.28 MB
BIG = BODY * 20  # 26 MB: the library writes what came every 10 MB
REPO = "facebook/sam2.1-hiera-tiny"


@pytest.fixture
def hub() -> Iterator[fake.Hub]:
    repos = {
        REPO: fake.Repo({"config.json": b'{"model_type": "sam2_video"}', "model.safetensors": BODY, "README.md": b"x"}),
        "facebook/sam2.1-hiera-large": fake.Repo({"config.json": b"{}", "model.safetensors": BODY}, gated=True),
        "zibojia/minimax-remover": fake.Repo({f"{p}/a.bin": p.encode() for p in ("transformer", "vae", "scheduler")}),
        "netflix/void-model": fake.Repo({"void_pass1.safetensors": BODY, "void_pass2.safetensors": BODY[::-1]}),
    }
    with fake.serving(repos) as server:
        yield server


@pytest.fixture
def cli(hub: fake.Hub, tmp_path: Path) -> Cli:
    return Cli(hub, tmp_path, "models")


def test_pull_fetches_the_files_that_the_table_names(cli: Cli, hub: fake.Hub) -> None:
    folder = Path(cli("pull", "sam2-tiny")[0].strip())
    assert (folder / "model.safetensors").read_bytes() == BODY
    assert not (folder / "README.md").exists()


def test_pull_holds_the_model_to_commit_and_hashes(cli: Cli, hub: fake.Hub) -> None:
    cli("pull", "sam2-tiny")
    pin = cli.lock["sam2-tiny"]
    assert pin["commit"] == hub.repos[REPO].commit
    assert pin["files"]["model.safetensors"] == {"size": len(BODY), "sha256": hashlib.sha256(BODY).hexdigest()}
    assert cli.row("sam2-tiny")["cached"]
    assert cli.row("sam2-tiny")["pinned"] == pin["commit"]


def test_a_second_pull_asks_the_network_for_nothing(cli: Cli, hub: fake.Hub) -> None:
    cli("pull", "sam2-tiny")
    hub.requests.clear()
    cli("pull", "sam2-tiny")
    assert hub.requests == []


def test_what_is_held_does_not_follow_the_branch(cli: Cli, hub: fake.Hub) -> None:
    cli("pull", "sam2-tiny")
    first = cli.lock["sam2-tiny"]["commit"]
    hub.repos[REPO].change("model.safetensors", BODY[::-1])
    cli("rm", "sam2-tiny")
    (cli.home / "config/vremove/models.lock.json").write_text(
        json.dumps({"schema": 1, "models": {"sam2-tiny": {
            "repo": REPO, "revision": "main", "commit": first, "accepted": False,
            "files": {"model.safetensors": {"size": len(BODY), "sha256": hashlib.sha256(BODY).hexdigest()}},
        }}})
    )  # fmt: skip
    folder = Path(cli("pull", "sam2-tiny")[0].strip())
    assert (folder / "model.safetensors").read_bytes() == BODY


def test_lock_takes_what_the_branch_is_now(cli: Cli, hub: fake.Hub) -> None:
    cli("pull", "sam2-tiny")
    hub.repos[REPO].change("model.safetensors", BODY[::-1])
    cli("lock", "sam2-tiny")
    assert cli.lock["sam2-tiny"]["commit"] == hub.repos[REPO].commit
    assert cli("verify", "sam2-tiny")[0] == "sam2-tiny: all files are unchanged\n"


def test_a_cut_connection_is_taken_up_where_it_broke(cli: Cli, hub: fake.Hub) -> None:
    hub.repos[REPO].files["model.safetensors"] = BIG
    hub.cut_after, hub.cuts = 11_000_000, 1
    folder = Path(cli("pull", "sam2-tiny")[0].strip())
    assert (folder / "model.safetensors").read_bytes() == BIG
    resumed = int(hub.fetched("model.safetensors")[-1].removeprefix("bytes=").removesuffix("-"))
    assert 1_000_000 < resumed <= 11_000_000


def test_a_killed_pull_goes_on_where_it_was(cli: Cli, hub: fake.Hub) -> None:
    hub.repos[REPO].files["model.safetensors"] = BIG
    hub.stall_after = 11_000_000
    process = cli.start("pull", "sam2-tiny")
    blobs = cli.home / "hf/hub" / f"models--{REPO.replace('/', '--')}" / "blobs"
    for _ in range(1000):
        with suppress(FileNotFoundError):  # a smaller file that was done between looking and asking its size
            if any(p.stat().st_size >= 10_000_000 for p in blobs.glob("*.vremove")):
                break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (partial,) = blobs.glob("*.vremove")
    had = partial.stat().st_size
    assert 0 < had < len(BIG)
    hub.stall_after = None
    folder = Path(cli("pull", "sam2-tiny")[0].strip())
    assert (folder / "model.safetensors").read_bytes() == BIG
    assert hub.fetched("model.safetensors")[-1] == f"bytes={had}-"
    assert not list(blobs.glob("*.vremove*"))


def test_a_connection_that_stays_cut_is_told(cli: Cli, hub: fake.Hub) -> None:
    hub.cut_after = 0
    assert "the connection to" in cli.fails("pull", "sam2-tiny")


def test_nobody_there_is_told(cli: Cli, hub: fake.Hub) -> None:
    assert "check the network" in cli.fails("pull", "sam2-tiny", HF_ENDPOINT="http://127.0.0.1:9")


def test_a_damaged_file_is_refused_and_not_kept(cli: Cli, hub: fake.Hub) -> None:
    hub.corrupt = True
    assert "arrived damaged" in cli.fails("pull", "sam2-tiny")
    assert not cli.row("sam2-tiny")["cached"]
    hub.corrupt = False
    cli("pull", "sam2-tiny")


def test_a_server_in_trouble_is_told(cli: Cli, hub: fake.Hub) -> None:
    hub.status = 503
    assert "answers with an error (503)" in cli.fails("pull", "sam2-tiny")


def test_a_gated_model_says_where_to_accept_its_terms(cli: Cli, hub: fake.Hub) -> None:
    line = cli.fails("pull", "sam2-large")
    assert "is gated" in line
    assert "HF_TOKEN" in line


def test_a_token_opens_a_gated_model(cli: Cli, hub: fake.Hub) -> None:
    cli("pull", "sam2-large", HF_TOKEN=hub.token)
    assert cli.row("sam2-large")["cached"]


def test_a_repository_that_is_not_there_is_told(cli: Cli, hub: fake.Hub) -> None:
    del hub.repos[REPO]
    assert "does not exist, or is private" in cli.fails("pull", "sam2-tiny")


def test_a_file_that_the_repository_lacks_is_told(cli: Cli, hub: fake.Hub) -> None:
    del hub.repos[REPO].files["model.safetensors"]
    assert "holds no model.safetensors" in cli.fails("pull", "sam2-tiny")


def test_a_revision_that_is_gone_is_told(cli: Cli, hub: fake.Hub, tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(f'[sam2-tiny]\nrevision = "{"0" * 40}"\n')
    assert "has no revision" in cli.fails("pull", "sam2-tiny", "--models", str(own))


def test_offline_never_asks_the_network(cli: Cli, hub: fake.Hub) -> None:
    assert "HF_HUB_OFFLINE is set" in cli.fails("pull", "sam2-tiny", HF_HUB_OFFLINE="1")
    cli("list", HF_HUB_OFFLINE="1")
    assert hub.requests == []


def test_offline_uses_what_is_here(cli: Cli, hub: fake.Hub) -> None:
    cli("pull", "sam2-tiny")
    assert "is here" in cli("pull", "sam2-tiny", HF_HUB_OFFLINE="1")[1]


def test_a_full_disk_is_told_before_anything_is_fetched(
    cli: Cli, hub: fake.Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=1, used=1, free=1000))
    assert "MB are needed" in cli.fails("pull", "sam2-tiny")
    assert hub.fetched("model.safetensors") == []


def test_a_limit_on_file_size_reads_like_a_full_disk(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Any, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(weights_hub._Counted, "write", full)
    assert "the disk is full" in cli.fails("pull", "sam2-tiny")


def test_a_cache_that_cannot_be_written_is_told(cli: Cli) -> None:
    (cli.home / "file").write_text("no folder")
    line = cli.fails("pull", "sam2-tiny", HF_HOME=str(cli.home / "file"))
    assert "cannot be written (Not a directory)" in line
    assert "set HF_HOME" in line


def test_a_network_that_goes_away_in_the_end_is_no_missing_file() -> None:
    assert "the connection to" in str(hub_error(LocalEntryNotFoundError("offline"), REPO, "main"))


def test_a_licence_that_limits_use_is_asked_for(cli: Cli, hub: fake.Hub) -> None:
    line = cli.fails("pull", "minimax-remover")
    assert "CC-BY-NC-4.0" in line
    assert "--accept-license minimax-remover" in line
    assert hub.requests == []


@pytest.mark.parametrize("way", [("--accept-license", "minimax-remover"), ("--accept-license", "CC-BY-NC-4.0")])
def test_an_accepted_licence_is_remembered(cli: Cli, hub: fake.Hub, way: tuple[str, str]) -> None:
    cli("pull", "minimax-remover", *way)
    assert cli.lock["minimax-remover"]["accepted"]
    cli("pull", "minimax-remover")


def test_the_environment_accepts_a_licence_too(cli: Cli, hub: fake.Hub) -> None:
    cli("pull", "minimax-remover", VREMOVE_ACCEPT_LICENSE="minimax-remover")


def test_patterns_name_all_files_of_a_folder(cli: Cli, hub: fake.Hub) -> None:
    cli("pull", "minimax-remover", "--accept-license", "minimax-remover")
    assert set(cli.lock["minimax-remover"]["files"]) == {"transformer/a.bin", "vae/a.bin", "scheduler/a.bin"}


def test_a_model_that_is_not_on_the_hub_says_where_it_is(cli: Cli, hub: fake.Hub) -> None:
    line = cli.fails("pull", "undereraser", "--accept-license", "undereraser")
    assert "Google Drive" in line
    assert "--weights undereraser=FILE" in line


def test_rm_frees_the_disk_and_forgets(cli: Cli, hub: fake.Hub) -> None:
    cli("pull", "sam2-tiny")
    freed = json.loads(cli("rm", "sam2-tiny", "--json")[0])["models"][0]["bytes"]
    assert freed == len(BODY) + len(hub.repos[REPO].files["config.json"])
    assert not cli.row("sam2-tiny")["cached"]
    assert "sam2-tiny" not in cli.lock


def test_rm_of_a_model_that_is_not_on_the_hub_frees_nothing(cli: Cli) -> None:
    assert cli("rm", "undereraser")[0] == "undereraser: 0 bytes freed\n"


def test_rm_leaves_what_another_model_has_in_the_same_repository(cli: Cli, hub: fake.Hub) -> None:
    cli("pull", "void-pass1", "void-pass2")
    cli("rm", "void-pass1")
    assert cli.row("void-pass2")["cached"]
    assert cli("verify", "void-pass2")[0] == "void-pass2: all files are unchanged\n"


@pytest.mark.parametrize(("name", "pulled", "stays"), [("sam2-tiny", False, False), ("void-pass1", True, True)])
def test_rm_takes_what_its_own_broken_off_pull_left(
    cli: Cli, hub: fake.Hub, name: str, pulled: bool, stays: bool
) -> None:
    repo = cli.row(name)["repo"]
    if pulled:
        cli("pull", name)
    partial = cli.home / "hf/hub" / f"models--{repo.replace('/', '--')}" / "blobs" / f"{'0' * 64}.vremove"
    partial.parent.mkdir(parents=True, exist_ok=True)
    partial.write_bytes(b"half")
    cli("rm", name)
    assert partial.exists() == stays


def test_verify_finds_a_changed_file(cli: Cli, hub: fake.Hub) -> None:
    folder = Path(cli("pull", "sam2-tiny")[0].strip())
    (folder / "model.safetensors").resolve().write_bytes(BODY[:-1] + b"x")
    line = cli.fails("verify", "sam2-tiny")
    assert "model.safetensors is damaged" in line


def test_verify_finds_a_missing_file(cli: Cli, hub: fake.Hub) -> None:
    folder = Path(cli("pull", "sam2-tiny")[0].strip())
    (folder / "config.json").resolve().unlink()
    assert "config.json is missing" in cli.fails("verify", "sam2-tiny")


@pytest.mark.parametrize(("way", "content"), [("pull", BODY[:1000]), ("lock", BODY[:1000]), ("lock", BODY[:-1] + b"x")])
def test_a_damaged_file_is_fetched_anew(cli: Cli, hub: fake.Hub, way: str, content: bytes) -> None:
    folder = Path(cli("pull", "sam2-tiny")[0].strip())
    (folder / "model.safetensors").resolve().write_bytes(content)
    cli(way, "sam2-tiny")
    assert (folder / "model.safetensors").read_bytes() == BODY
    assert cli.lock["sam2-tiny"]["files"]["model.safetensors"]["size"] == len(BODY)


def test_dry_run_says_how_much_and_fetches_nothing(cli: Cli, hub: fake.Hub) -> None:
    (row,) = json.loads(cli("pull", "sam2-tiny", "--dry-run", "--json")[0])["models"]
    assert row["bytes"] == len(BODY) + len(hub.repos[REPO].files["config.json"])
    assert hub.fetched("model.safetensors") == []


def test_pull_all_goes_on_after_a_failure_and_leaves_limited_licences_alone(cli: Cli, hub: fake.Hub) -> None:
    _, said = cli("pull", "--all", status=6)
    assert "edgetam" in said.splitlines()[-1]
    assert "minimax-remover" not in said
    assert cli.row("sam2-tiny")["cached"]
    assert cli.row("void-pass2")["cached"]


def test_files_that_a_table_names_since_are_fetched_too(cli: Cli, hub: fake.Hub, tmp_path: Path) -> None:
    cli("pull", "sam2-tiny")
    own = tmp_path / "own.toml"
    own.write_text('[sam2-tiny]\nfiles = ["config.json", "model.safetensors", "README.md"]\n')
    folder = Path(cli("pull", "sam2-tiny", "--models", own)[0].strip())
    assert (folder / "README.md").exists()
    assert set(cli.lock["sam2-tiny"]["files"]) == {"config.json", "model.safetensors", "README.md"}


def test_an_own_table_makes_a_mirror(cli: Cli, hub: fake.Hub, tmp_path: Path) -> None:
    hub.repos["me/mirror"] = fake.Repo({"config.json": b"{}", "model.safetensors": b"mine" * 1000})
    own = tmp_path / "own.toml"
    own.write_text('[sam2-tiny]\nrepo = "me/mirror"\n')
    folder = Path(cli("pull", "sam2-tiny", "--models", str(own))[0].strip())
    assert (folder / "model.safetensors").read_bytes() == b"mine" * 1000


def test_the_config_folder_holds_an_own_table_too(cli: Cli, hub: fake.Hub) -> None:
    table = cli.home / "config/vremove/models.toml"
    table.parent.mkdir(parents=True)
    table.write_text('[mine]\nrepo = "me/mine"\nfiles = ["a"]\ntask = "track"\nlicence = "MIT"\ncommercial = true\n')
    assert cli.row("mine")["repo"] == "me/mine"


def test_a_config_folder_that_may_not_be_entered_is_none_of_ours(cli: Cli) -> None:
    assert "sam2-tiny" in cli("list", XDG_CONFIG_HOME=f"/tmp/{'x' * 300}")[0]  # as a folder of somebody else's


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[x", "not valid TOML"),
        ('[sam2-tiny]\ncolour = "red"\n', "unknown value 'colour'"),
        ('[x]\ntask = "track"\n', "lacks licence"),
        ('[x]\ntask = "fly"\nlicence = "MIT"\ncommercial = true\n', "the task 'fly'"),
        ("[sam2-tiny]\nfiles = 3\n", "of the wrong kind"),
        ("sam2 = 3\n", "is not a table"),
        ("[sam2-tiny]\nfiles = [3]\n", "3 is no file of a repository"),
        ('[sam2-tiny]\nfiles = ["/etc/passwd"]\n', "'/etc/passwd' is no file of a repository"),
        ('[sam2-tiny]\nfiles = ["config.json", "../../x"]\n', "'../../x' is no file of a repository"),
        ('[rose]\nparts = { transformer = ["../x"] }\n', "'../x' is no file of a repository"),
        ("[rose]\nparts = { transformer = 3 }\n", "3 is no file of a repository"),
        ('[rose]\nparts = "x"\n', "of the wrong kind"),
        ('[sam2-tiny]\nrepo = "a/b/c"\n', "'a/b/c' is no name of a repository"),
        ('[sam2-tiny]\nrepo = "../x"\n', "'../x' is no name of a repository"),
        ('[sam2-tiny]\nrevision = "../x"\n', "'../x' is no revision"),
        ('[sam2-tiny]\narchitecture = "sam-2"\n', "the architecture 'sam-2'"),
    ],
)
def test_a_bad_table_is_a_usage_error(cli: Cli, tmp_path: Path, text: str, says: str) -> None:
    own = tmp_path / "own.toml"
    own.write_text(text)
    _, err = cli("list", "--models", str(own), status=2)
    assert says in err


PINNED = '{"models": {"x": {"repo": "a/b", "revision": "main", "commit": %s, "files": {%s}}}}'


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", '{"models": []}', '{"models": {"x": 3}}', '{"models": {"x": {"files": []}}}',
        PINNED % ('"c"', ""), PINNED % ("null", '"a": {"size": 1, "sha256": ""}'),
        PINNED % ('"c"', '"../a": {"size": 1, "sha256": ""}'),
    ],
)  # fmt: skip
def test_a_damaged_lock_file_is_told(cli: Cli, text: str) -> None:
    lock = cli.home / "config/vremove/models.lock.json"
    lock.parent.mkdir(parents=True)
    lock.write_text(text)
    assert "models.lock.json cannot be read" in cli.fails("list")


def _largest(data: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = max(data["siblings"], key=lambda s: s["size"])
    return found


EVIL: dict[str, Callable[[dict[str, Any]], None]] = {
    "an absolute hash": lambda d: _largest(d)["lfs"].update(sha256="/tmp/vremove-evil"),
    "a hash that climbs": lambda d: _largest(d)["lfs"].update(sha256="../../evil"),
    "a name that climbs": lambda d: _largest(d).update(rfilename="../model.safetensors"),
    "an absolute name": lambda d: _largest(d).update(rfilename="/model.safetensors"),
    "a name with backslashes": lambda d: _largest(d).update(rfilename="..\\model.safetensors"),
    "a size that is no number": lambda d: _largest(d).update(size="many"),
    "a size below zero": lambda d: _largest(d).update(size=-5),
    "a commit that climbs": lambda d: d.update(sha="../../evil"),
    "no commit": lambda d: d.update(sha=None),
}


@pytest.mark.parametrize("how", EVIL)
def test_a_listing_that_leaves_its_folder_is_refused(cli: Cli, hub: fake.Hub, tmp_path: Path, how: str) -> None:
    hub.listing = EVIL[how]
    sentence = cli.fails("pull", "sam2-tiny")
    assert "choose another mirror" in sentence or "failed" in sentence
    assert not list(tmp_path.rglob("*evil*")) + list(Path("/tmp").glob("vremove-evil*"))


@pytest.mark.parametrize("fault", ["status", "down"])
def test_a_password_in_the_address_of_the_hub_is_not_printed(cli: Cli, hub: fake.Hub, fault: str) -> None:
    hub.status = 500
    address = hub.url if fault == "status" else "http://127.0.0.1:1"
    sentence = cli.fails("pull", "sam2-tiny", HF_ENDPOINT=address.replace("//", "//user:secret@"))
    assert "secret" not in sentence
    assert "127.0.0.1" in sentence


def test_an_unknown_model_is_told(cli: Cli, hub: fake.Hub) -> None:
    assert "there is no model 'sam9'" in cli("pull", "sam9", status=2)[1]


def test_progress_is_told_in_bytes(cli: Cli, hub: fake.Hub) -> None:
    _, err = cli("pull", "sam2-tiny", "--progress", "json")
    lines = [json.loads(line) for line in err.splitlines()]
    last = [line for line in lines if line.get("stage") == "fetch"][-1]
    assert last["done"] == last["total"] == len(BODY) + len(hub.repos[REPO].files["config.json"])


def test_listing_models_loads_no_torch(cli: Cli) -> None:
    probe = "import sys, runpy\nsys.argv = ['vremove', 'models', 'list']\n"
    probe += "try:\n    runpy.run_module('vremove_cli', run_name='__main__')\nexcept SystemExit:\n    pass\n"
    probe += "assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", probe], env=cli.env, check=True, capture_output=True)


def blocks_of_the_page(kind: str) -> list[str]:
    text = (Path(__file__).parents[2] / "docs/models.md").read_text(encoding="utf-8")
    return re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)


def test_the_commands_of_the_page_on_models_run(cli: Cli, hub: fake.Hub) -> None:
    for line in blocks_of_the_page("sh")[0].splitlines():
        cli(*line.split()[2:])


def test_the_table_of_the_page_on_models_is_valid(cli: Cli, tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(blocks_of_the_page("toml")[0])
    cli("show", "sam2-dancers", "--models", own)
