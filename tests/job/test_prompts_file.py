"""prompts.json: what it holds is what the options say, and anything else is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.clips import write_clip, write_masks
from support.command import Vremove
from vremove_cli.errors import UsageError
from vremove_cli.job.prompts_file import Click, options_of, read_prompts, write_prompts
from vremove_cli.job.request import request_from
from vremove_cli.prompts import parse_prompt

CLICKS = [
    Click("point", "", 0, (30.0, 31.5)),
    Click("not_point", "", 2, (5.0, 6.0)),
    Click("box", "dog", 3, (10.0, 11.0, 40.0, 41.0)),
]


@given(
    x=st.floats(0, 9000, width=32), y=st.floats(1.5, 9000, width=32), frame=st.integers(0, 10**6),
    kind=st.sampled_from(["point", "not_point"]), name=st.from_regex(r"[A-Za-z_][\w.-]{0,8}", fullmatch=True),
)  # fmt: skip
def test_a_click_is_the_same_as_its_text(x: float, y: float, frame: int, kind: Any, name: str) -> None:
    if not name.isascii():
        return
    click = Click(kind, name, frame, (round(x, 1), round(y, 1)))
    prompt = parse_prompt(click.text, "point")
    assert prompt.xy == pytest.approx(click.at)
    assert (prompt.name, str(prompt.when)) == (name, str(frame))


def test_a_file_comes_back(tmp_path: Path) -> None:
    masks = write_masks(tmp_path / "masks")
    clicks = [*CLICKS, Click("key_mask", "", 4, file=str(masks / "0004.png"))]
    write_prompts(tmp_path / "p.json", clicks)
    assert read_prompts(str(tmp_path / "p.json")) == clicks
    assert json.loads((tmp_path / "p.json").read_text())["prompts"][3]["file"] == "masks/0004.png"


def test_the_file_says_what_the_options_say(tmp_path: Path) -> None:
    write_prompts(tmp_path / "p.json", CLICKS)
    options = {name: list(texts) for name, texts in options_of(CLICKS).items()}
    assert options == {"point": ["@0:30,31.5"], "not_point": ["@2:5,6"], "box": ["dog=@3:10,11,40,41"]}
    by_file = request_from("a.mp4", "b.mp4", {"prompts": str(tmp_path / "p.json")})
    assert by_file == request_from("a.mp4", "b.mp4", options)


def test_further_prompts_come_first(tmp_path: Path) -> None:
    write_prompts(tmp_path / "p.json", CLICKS)
    both = request_from("a.mp4", "b.mp4", {"prompts": str(tmp_path / "p.json"), "point": "1,2"})
    assert both.point == ("1,2", "@0:30,31.5")


def test_the_command_takes_the_file(tmp_path: Path, vremove: Vremove) -> None:
    clip = write_clip(tmp_path / "a.mp4")
    write_prompts(tmp_path / "p.json", [Click("box", "", 0, (2.0, 20.0, 24.0, 44.0))])
    for output, prompts in (("file.mkv", ("--prompts", tmp_path / "p.json")), ("text.mkv", ("--box", "@0:2,20,24,44"))):
        assert vremove("mask", clip, *prompts, "-o", tmp_path / output).status == 0
    assert (tmp_path / "file.mkv").stat().st_size == (tmp_path / "text.mkv").stat().st_size


def entry(**changes: Any) -> dict[str, Any]:
    return {"kind": "point", "object": "", "frame": 0, "at": [5, 6], **changes}


WRONG: dict[str, tuple[Any, str]] = {
    "a list": ([], "holds no prompts"),
    "another type": ({"type": "review", "schema": 1, "prompts": []}, "holds no prompts"),
    "another form": ({"type": "prompts", "schema": 2, "prompts": []}, "has form 2 of prompts"),
    "no kind": ([entry(kind="circle")], "prompt 0 is none"),
    "negative frame": ([entry(frame=-1)], "prompt 0 is none"),
    "too few numbers": ([entry(), entry(kind="box")], "prompt 1 is none"),
    "words": ([entry(at=["5", "6"])], "prompt 0 is none"),
    "infinite": ([entry(at=[1e999, 6])], "prompt 0 is none"),
    "a file and numbers": ([entry(file="a.png")], "prompt 0 is none"),
    "a wrong name": ([entry(object="two words")], "prompt 0: 'two words' is not a name"),
    "an empty box": ([entry(kind="box", at=[5, 5, 5, 9])], "prompt 0: the box"),
}


@pytest.mark.parametrize(("content", "said"), WRONG.values(), ids=WRONG)
def test_anything_else_is_refused(tmp_path: Path, content: Any, said: str) -> None:
    if isinstance(content, list) and content:
        content = {"type": "prompts", "schema": 1, "prompts": content}
    (tmp_path / "p.json").write_text(json.dumps(content))
    with pytest.raises(UsageError, match=said):
        read_prompts(str(tmp_path / "p.json"))


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_a_file_that_is_no_json_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "p.json").write_bytes(content)
    with pytest.raises(UsageError, match="cannot be read as prompts"):
        read_prompts(str(tmp_path / "p.json"))
