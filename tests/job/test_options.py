"""Values of options: what each kind of field takes, what it makes of it, and what it refuses with one sentence."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vremove_cli.errors import UsageError
from vremove_cli.job.request import Exports, Request, request_from
from vremove_cli.options import Option, checked, nearest, option, options_of, values_from
from vremove_cli.removers import registry

OPTIONS = options_of(Request)


@dataclass(frozen=True)
class Sample:
    """One field of each kind."""

    flag: bool = option(False, "A flag.")
    whole: int = option(4, "A whole number.", minimum=-3, maximum=9)
    at_least: int = option(0, "A whole number without an upper limit.", minimum=0)
    at_most: float = option(0.0, "A number without a lower limit.", maximum=1)
    ratio: float | None = option(None, "A number.", minimum=0, maximum=1.5)
    choice: Literal["red", "green"] = option("red", "A word.")
    switch: Literal["on", "off"] = option("on", "A switch.")
    amount: int | Literal["auto"] = option("auto", "A number or a word.", minimum=-5, maximum=5)
    file: str | None = option(None, "A file.", metavar="FILE", path=True, words=("auto", "off"))
    names: tuple[str, ...] = option((), "Names.")
    counts: tuple[int, ...] = option((), "Numbers.", minimum=1)


SAMPLE = options_of(Sample)


def refusal(opt: Option, value: Any) -> UsageError:
    """Return the error for a value; it names the flag and says what to give."""
    with pytest.raises(UsageError) as caught:
        checked(opt, value)
    assert opt.flag in caught.value.problem
    assert caught.value.advice
    return caught.value


@pytest.mark.parametrize(
    ("name", "value", "result"),
    [
        ("flag", True, True), ("flag", "true", True), ("flag", "ON", True), ("flag", "1", True), ("flag", 1, True),
        ("flag", False, False), ("flag", "no", False), ("flag", "0", False), ("flag", 0, False),
        ("whole", 3, 3), ("whole", "-3", -3), ("whole", 9.0, 9), ("whole", np.int64(2), 2),
        ("ratio", 1, 1.0), ("ratio", "1.5", 1.5), ("ratio", 0, 0.0), ("ratio", np.float32(0.5), 0.5),
        ("choice", "green", "green"), ("switch", True, "on"), ("switch", False, "off"), ("switch", "off", "off"),
        ("amount", "auto", "auto"), ("amount", "-5", -5), ("amount", 5, 5),
        ("file", "auto", "auto"), ("file", "off", "off"), ("file", "/a/b.png", "/a/b.png"),
        ("file", Path("/a/b.png"), "/a/b.png"),
        ("names", "ann", ("ann",)), ("names", ["ann", "bob"], ("ann", "bob")), ("names", (), ()),
        ("names", (n for n in ("ann", "bob")), ("ann", "bob")),
        ("counts", 3, (3,)), ("counts", ["1", 2], (1, 2)), ("counts", np.array([1, 2]), (1, 2)),
    ],
)  # fmt: skip
def test_a_value_comes_out_in_the_fields_type(name: str, value: Any, result: Any) -> None:
    found = checked(SAMPLE[name], value)
    assert found == result
    assert type(found) is type(result)


@pytest.mark.parametrize(
    ("name", "value", "says", "advice"),
    [
        ("flag", "perhaps", "--flag perhaps is neither true nor false", "write true or false"),
        ("flag", 2, "--flag 2 is neither", "write true or false"),
        ("whole", "2.5", "is not a whole number", "give a whole number"),
        ("whole", 2.5, "is not a whole number", "give a whole number"),
        ("whole", True, "is not a whole number", "give a whole number"),
        ("whole", [1], "is not a whole number", "give a whole number"),
        ("whole", 10, "--whole 10 is out of range", "of at least -3 and of at most 9"),
        ("at_least", -1, "out of range", "give a whole number of at least 0"),
        ("at_most", 1.5, "out of range", "give a number of at most 1"),
        ("ratio", "nan", "is not a number", "give a number"),
        ("ratio", float("inf"), "is not a number", "give a number"),
        ("ratio", 10**400, "is not a number", "give a number"),
        ("choice", "blue", "--choice blue is unknown", "choose one of red, green"),
        ("choice", True, "--choice True is unknown", "choose one of red, green"),
        ("choice", np.array(["red", "green"]), "is unknown", "choose one of red, green"),
        ("switch", "yes", "--switch yes is unknown", "choose one of on, off"),
        ("amount", "much", "is not a whole number", "give a whole number, or auto"),
        ("amount", True, "--amount True is not a whole number", "or auto"),
        ("amount", 6, "is out of range", "or auto"),
        ("file", 3, "is not a text", "give FILE"),
        ("file", False, "is not a text", "give FILE"),
        ("names", 3, "is not a text", "give a text"),
        ("names", {"ann": 1}, "is not a text", "give a text"),
        ("counts", [1, 0], "out of range", "of at least 1"),
        ("counts", [None], "is not a whole number", "give a whole number"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_with_the_flag_and_the_way_out(name: str, value: Any, says: str, advice: str) -> None:
    error = refusal(SAMPLE[name], value)
    assert says in error.problem
    assert advice in error.advice


def test_a_path_is_made_absolute_where_it_is_no_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert checked(OPTIONS["mask"], "m.mkv") == str(tmp_path / "m.mkv")
    assert checked(OPTIONS["mask"], Path("m.mkv")) == str(tmp_path / "m.mkv")
    assert checked(OPTIONS["effects"], "off") == "off"
    assert checked(OPTIONS["effects"], "off.mkv") == str(tmp_path / "off.mkv")
    assert checked(OPTIONS["reference"], Path("clean.png")) == (str(tmp_path / "clean.png"),)
    assert checked(OPTIONS["lora"], ["a.safetensors@0.5", "b.safetensors"]) == (
        str(tmp_path / "a.safetensors@0.5"),
        str(tmp_path / "b.safetensors"),
    )


def test_none_is_the_default() -> None:
    assert all(checked(opt, None) == opt.default for opt in [*SAMPLE.values(), *OPTIONS.values()])


@pytest.mark.parametrize(
    ("name", "value", "result"),
    [
        ("point", "64,108", ("64,108",)), ("point", "@4.5s:64,108", ("@4.5s:64,108",)),
        ("point", (64, 108), ("64,108",)), ("point", [64, 108], ("64,108",)), ("point", (64.5, 108), ("64.5,108",)),
        ("point", (64, 108, 120), ("@120:64,108",)), ("point", (64, 108, "4.5s"), ("@4.5s:64,108",)),
        ("point", (64, 108, 4.5), ("@4.5s:64,108",)), ("point", (64, 108, "#1001"), ("@#1001:64,108",)),
        ("point", [(1, 2), (3, 4, 5), "6,7", [8, 9]], ("1,2", "@5:3,4", "6,7", "8,9")),
        ("point", [], ()), ("point", np.array([64, 108]), ("64,108",)),
        ("point", np.array([[1, 2], [3, 4]]), ("1,2", "3,4")), ("point", ((x, x) for x in (1, 2)), ("1,1", "2,2")),
        ("box", (1, 2, 3, 4), ("1,2,3,4",)), ("box", (1, 2, 3, 4, 9), ("@9:1,2,3,4",)),
        ("box", (1, 2, 3, 4, "0.5s"), ("@0.5s:1,2,3,4",)), ("box", [(1, 2, 3, 4)] * 2, ("1,2,3,4",) * 2),
        ("not_point", (1234567, 0), ("1234567,0",)), ("affected_box", (0, 0, 8, 8), ("0,0,8,8",)),
        ("start", 120, "120"), ("start", 4.5, "4.5s"), ("start", "1:02.5", "1:02.5"), ("end", np.int64(7), "7"),
        ("size", (720, 480), "720x480"), ("size", [720, 480], "720x480"), ("size", "720x480", "720x480"),
        ("pick", 2, (2,)), ("pick", [1, 3], (1, 3)), ("grow", "auto", "auto"), ("recover", False, "off"),
    ],
)  # fmt: skip
def test_coordinates_moments_and_sizes_become_the_command_lines_text(name: str, value: Any, result: Any) -> None:
    assert checked(OPTIONS[name], value) == result


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("point", 5), ("point", True), ("point", [("a", "b", [1])]), ("point", [[None, 2]]), ("point", (1, None)),
        ("point", object()), ("box", [(1, 2), 7]), ("start", [1]), ("start", True), ("end", object()),
        ("point", (1, 2, [3])), ("point", {"x": 1, "y": 2}),
    ],
)  # fmt: skip
def test_values_that_are_no_coordinates_are_refused(name: str, value: Any) -> None:
    with pytest.raises(UsageError) as caught:
        checked(OPTIONS[name], value)
    assert caught.value.advice
    assert OPTIONS[name].flag in str(caught.value)


@given(st.sampled_from(sorted(OPTIONS)), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner, max_size=2),
))  # fmt: skip
def test_any_value_is_taken_or_refused_with_one_usage_error(name: str, value: Any) -> None:
    opt = OPTIONS[name]
    try:
        found = checked(opt, value)
    except UsageError:
        refusal(opt, value)
        return
    assert checked(opt, found) == found, "a checked value is its own checked value"
    assert isinstance(found, tuple) == opt.repeats


@given(st.integers(0, 8192), st.integers(0, 8192), st.none() | st.integers(0, 10**6) | st.floats(0, 1e4))
def test_numbers_and_text_mean_the_same_point(x: int, y: int, when: float | None) -> None:
    from vremove_cli.prompts import parse_prompt

    numbers = (x, y) if when is None else (x, y, when)
    try:
        prompt = parse_prompt(checked(OPTIONS["point"], numbers)[0], "point")
    except UsageError:  # 1e-05 seconds
        assert "e" in repr(when)
        return
    assert prompt.xy == (x, y)
    unit = {int: "frame", float: "seconds"}
    assert (prompt.when is None) == (when is None)
    if prompt.when is not None:
        assert prompt.when.unit == unit[type(when)]
        assert float(prompt.when.value) == when  # type: ignore[arg-type]


@given(st.integers(-10, 10) | st.floats(-10, 10))
def test_a_number_in_range_comes_out_and_any_other_is_refused(value: float) -> None:
    opt = SAMPLE["whole"]
    if float(value).is_integer() and -3 <= value <= 9:
        assert checked(opt, value) == checked(opt, str(int(value))) == value
    else:
        refusal(opt, value)


def test_values_in_are_values_out_of_a_request() -> None:
    given_values = {
        "point": (64, 108), "box": [(1, 2, 3, 4)], "start": 0, "end": 4.5, "grow": 3, "feather": 1, "seed": 9,
        "recover": False, "quality": "best", "steps": "20", "size": (720, 480), "crf": 12, "drop_streams": True,
    }  # fmt: skip
    request = request_from("/in.mp4", "/out.mp4", given_values)
    assert (request.input, request.output) == ("/in.mp4", "/out.mp4")
    taken = {name: getattr(request, name) for name in given_values}
    assert taken == {
        "point": ("64,108",), "box": ("1,2,3,4",), "start": "0", "end": "4.5s", "grow": 3, "feather": 1.0, "seed": 9,
        "recover": "off", "quality": "best", "steps": 20, "size": "720x480", "crf": 12, "drop_streams": True,
    }  # fmt: skip
    assert all(getattr(request, n) == o.default for n, o in OPTIONS.items() if n not in given_values)
    assert request.work_size == (720, 480)
    assert request.settings({}).steps == 20


def test_an_unknown_name_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(UsageError, match="there is no option 'maks': did you mean 'mask'"):
        values_from(Request, {"maks": "m.mkv"})
    assert nearest("zzzz", ["one", "two"]) == "choose one of one, two"


def test_options_that_contradict_each_other_are_refused() -> None:
    for options, says in (
        ({"invert_mask": True}, "--invert-mask needs a mask"),
        ({"static": True, "mask": "m.mkv"}, "--static and a mask"),
        ({"quadmask": "q.mkv", "mask": "m.mkv"}, "a quadmask and another mask"),
        ({"affected_mask": "m.mkv", "affected_point": "1,2"}, "points or boxes on it"),
        ({"affected_by": "contact", "affected_box": "1,2,3,4"}, "--affected-by too"),
        ({"affected_by": "guess"}, "--affected-by guess is unknown"),
        ({"size": "721x480"}, "--size 721x480 is not WIDTHxHEIGHT"),
        ({"weights": "sam2-tiny"}, "--weights sam2-tiny is not NAME=FILE"),
        ({"weights": "sam2-tiny=/nowhere.pt"}, "there are no weights /nowhere.pt"),
        ({"lora": "/nowhere.safetensors@0.5"}, "there is no file /nowhere.safetensors"),
    ):
        with pytest.raises(UsageError, match=says) as caught:
            request_from("/in.mp4", "/out.mp4", options)
        assert caught.value.advice


def test_every_field_is_an_option_except_input_and_output() -> None:
    assert [f.name for f in fields(Request) if f.name not in OPTIONS] == ["input", "output"]
    assert [f.name for f in fields(Exports)] == list(options_of(Exports))
    assert not set(OPTIONS) & set(options_of(Exports))


def test_an_option_names_the_removers_that_use_it() -> None:
    built_in = ("plate", "void", "rose", "undereraser", "minimax", "rorem")
    accepts = {name: {f.replace("loras", "lora") for f in registry.spec_of(name).accepts} for name in built_in}
    assert set().union(*accepts.values()) <= set(OPTIONS)
    for name, opt in OPTIONS.items():
        assert set(opt.removers) == {remover for remover, fields in accepts.items() if name in fields}, name
