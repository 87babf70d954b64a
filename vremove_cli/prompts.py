"""Parse the points, boxes and key masks by which a user names an object.

A point is `[NAME=][@WHEN:]X,Y` and a box `[NAME=][@WHEN:]X0,Y0,X1,Y1`, in pixels of the displayed frame or in percent
of its width and height (`20%,60%`); a key mask is `[NAME=][@WHEN:]FILE`. WHEN is a frame (`120`, counted from 0), a
time after the first one (`4.5s`, `1:02.5`, `1:00:02`), a timecode (`01:00:00:12`, drop-frame `01:00:00;12`) or, in an
image sequence, the number in a file's name (`#1001`).
Without NAME a prompt belongs to the one unnamed object.
"""

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vremove_cli.errors import UsageError
from vremove_cli.media.timecode import Timecode, frame_at, parse_timecode

if TYPE_CHECKING:
    from vremove_cli.media.clip import ClipInfo

_NAME = re.compile(r"[A-Za-z_][\w.-]*")
_NUMBER = re.compile(r"\d+(\.\d+)?")
_COORDINATE = re.compile(r"-?(\d{1,9}(\.\d{0,9})?|\.\d{1,9})%?")
# A file's own name may hold a colon.
_KEY_MASK = re.compile(r"@(\d+:\d+:\d+[:;]\d+|\d+(?::\d+){1,2}(?:\.\d+)?|\d+(?:\.\d+)?s|#?\d+):(.+)")


@dataclass(frozen=True)
class When:
    """A moment of a clip.

    Attributes:
        unit: "frame" for a frame index, "seconds" after the first frame, "file" for an image's number, or "timecode".
        value: Value in that unit.
    """

    unit: Literal["frame", "seconds", "file", "timecode"]
    value: Fraction | Timecode

    def __str__(self) -> str:
        if self.unit == "seconds" and isinstance(self.value, Fraction):
            return f"{_decimal(self.value)}s"
        return f"{'#' if self.unit == 'file' else ''}{self.value}"


@dataclass(frozen=True)
class Prompt:
    """A point, a box or a key mask of one object in one frame.

    Attributes:
        numbers: x and y of a point, or x0, y0, x1 and y1 of a box (x1 and y1 exclusive), in displayed pixels or in
            percent; none of a key mask.
        when: Moment of the frame; None for the first frame of the erased range.
        name: Name of the object; empty for the unnamed one.
        positive: Whether the point lies on the object, and not on its surroundings.
        mask: Path of a key mask; empty for a point or a box.
        percent: Whether the numbers are percent of the displayed width and height, and not pixels.
    """

    numbers: tuple[Fraction, ...]
    when: When | None = None
    name: str = ""
    positive: bool = True
    mask: str = ""
    percent: bool = False

    @property
    def is_box(self) -> bool:
        """Whether the prompt is a box."""
        return len(self.numbers) == 4

    @property
    def xy(self) -> tuple[float, ...]:
        """The numbers as floats."""
        return tuple(float(n) for n in self.numbers)

    def __str__(self) -> str:
        name = f"{self.name}=" if self.name else ""
        when = f"@{self.when}:" if self.when else ""
        return name + when + (self.mask or ",".join(_decimal(n) + "%" * self.percent for n in self.numbers))

    def in_pixels(self, width: int, height: int) -> "Prompt":
        """Return the prompt in pixels of a displayed frame of this size; a point at 100 % is on the last pixel."""
        if not self.percent:
            return self
        sides = (width, height, width, height)
        numbers = tuple(n / 100 * side for n, side in zip(self.numbers, sides, strict=False))
        if not self.is_box:
            numbers = tuple(min(n, Fraction(side - 1)) for n, side in zip(numbers, sides, strict=False))
        return replace(self, numbers=numbers, percent=False)


def _decimal(value: Fraction) -> str:
    """Return a fraction with a terminating decimal expansion as text, exactly."""
    if value.denominator == 1:
        return str(value.numerator)
    digits = 0
    scaled = value
    while scaled.denominator != 1:
        scaled *= 10
        digits += 1
    text = str(scaled.numerator).rjust(digits + 1, "0")
    return f"{text[:-digits]}.{text[-digits:]}"


def parse_when(text: str) -> When:
    """Parse a moment.

    Args:
        text: `120`, `4.5s`, `1:02.5`, `1:00:02`, `01:00:00:12`, `01:00:00;12` or `#1001`.

    Raises:
        UsageError: The text has none of these forms.
    """
    text = text.strip()
    if re.fullmatch(r"\d+", text):
        return When("frame", Fraction(text))
    if re.fullmatch(r"#\d+", text):
        return When("file", Fraction(text[1:]))
    if text.endswith("s") and _NUMBER.fullmatch(text[:-1]):
        return When("seconds", Fraction(text[:-1]))
    timecode = parse_timecode(text)
    if timecode is not None:
        return When("timecode", timecode)
    parts = text.split(":")
    if len(parts) in (2, 3) and all(p.isdigit() for p in parts[:-1]) and _NUMBER.fullmatch(parts[-1]):
        total = Fraction(0)
        for part in parts:
            total = total * 60 + Fraction(part)
        return When("seconds", total)
    raise UsageError(
        f"'{text}' is not a moment",
        "write a frame (120), a time (4.5s or 1:02.5), a timecode (01:00:00:12) or a file number (#1001)",
    )


def parse_prompt(text: str, kind: Literal["point", "box"], *, positive: bool = True) -> Prompt:
    """Parse a point or a box.

    Args:
        text: `[NAME=][@WHEN:]X,Y` for a point, `[NAME=][@WHEN:]X0,Y0,X1,Y1` for a box.
        kind: Which of the two is expected.
        positive: Whether a point lies on the object.

    Raises:
        UsageError: The text has another form; the advice shows the right one.
    """
    form = "[NAME=][@WHEN:]X,Y" if kind == "point" else "[NAME=][@WHEN:]X0,Y0,X1,Y1"
    rest, name, when = text.strip(), "", None
    if "=" in rest:
        name, rest = (s.strip() for s in rest.split("=", 1))
        if not _NAME.fullmatch(name):
            raise UsageError(f"'{name}' is not a name for an object", "use letters, digits, '.', '_' and '-'")
    if rest.startswith("@"):
        moment, colon, rest = rest[1:].rpartition(":")
        if not colon:
            raise UsageError(f"'{text}' has no coordinates", f"write {form}")
        when = parse_when(moment)
    numbers, percent = _coordinates(text, rest, kind, form)
    if kind == "box" and (numbers[2] <= numbers[0] or numbers[3] <= numbers[1]):
        raise UsageError(
            f"the box '{text}' is empty", "give its left, top, right and bottom, in this order, and no width or height"
        )
    return Prompt(numbers, when, name, positive, percent=percent)


def _coordinates(text: str, rest: str, kind: str, form: str) -> tuple[tuple[Fraction, ...], bool]:
    """Return the numbers of a point or box, and whether they are percent.

    Raises:
        UsageError: They are no numbers, too few or too many, negative, shares of the frame, or of two units.
    """
    parts = [p.strip() for p in rest.split(",")]
    if len(parts) != (2 if kind == "point" else 4) or not all(_COORDINATE.fullmatch(p) for p in parts):
        raise UsageError(f"'{text}' is not a {kind}", f"write {form} in pixels, for example {_example(kind)}")
    numbers = tuple(Fraction(p.rstrip("%")) for p in parts)
    percent = parts[0].endswith("%")
    if any(p.endswith("%") != percent for p in parts):
        raise UsageError(f"'{text}' mixes pixels and percent", "write all numbers in one of the two")
    if min(numbers) < 0:
        raise UsageError(f"'{text}' is not a {kind} of the frame", "coordinates begin at 0 in the upper left corner")
    if percent and max(numbers) > 100:
        raise UsageError(f"'{text}' lies outside the frame", "percent run from 0 to 100")
    if not percent and max(numbers) <= 1 and (kind == "box" or any(n.denominator > 1 for n in numbers)):
        shares = ",".join(f"{_decimal(n * 100)}%" for n in numbers)
        raise UsageError(
            f"'{text}' lies in the frame's first pixel", f"write {shares} if these are shares of the frame"
        )
    return numbers, percent


def parse_key_mask(text: str) -> Prompt:
    """Parse a key mask, `[NAME=][@WHEN:]FILE`; the path becomes absolute.

    Raises:
        UsageError: The text has another form.
    """
    name, when, path = "", None, text
    if not Path(text).exists():  # a file's own name may look like a prompt
        head, equal, rest = text.partition("=")
        if equal and _NAME.fullmatch(head.strip()):
            name, path = head.strip(), rest
        if path.startswith("@") and not Path(path).exists():
            found = _KEY_MASK.fullmatch(path)
            if found is None:
                raise UsageError(f"'{text}' is not a key mask", "write [NAME=][@WHEN:]FILE, as in @120:mask.png")
            when, path = parse_when(found[1]), found[2]
    if not path:
        raise UsageError(f"'{text}' names no file", "write [NAME=][@WHEN:]FILE, as in @120:mask.png")
    return Prompt((), when, name, mask=str(Path(path).absolute()))


def _example(kind: str) -> str:
    return "--point 320,240" if kind == "point" else "--box @2.5s:100,80,240,300"


def frame_of(when: When, clip: "ClipInfo") -> int:
    """Return the index of a clip's frame at a moment.

    Raises:
        UsageError: The clip has no frame at that moment.
    """
    times, numbers = clip.times, clip.file_numbers
    if isinstance(when.value, Timecode):
        return frame_at(when.value, clip.timecode, times)
    if when.unit == "file":
        if not numbers:
            raise UsageError(
                f"'@{when}' names a file number, but the input is no image sequence", "use a frame or a time"
            )
        if int(when.value) not in numbers:
            raise UsageError(
                f"the sequence has no file number {when.value}", f"it runs from {numbers[0]} to {numbers[-1]}"
            )
        return numbers.index(int(when.value))
    if when.unit == "seconds":
        if when.value > times.end_seconds:
            raise UsageError(f"{when} is after the end of the clip", f"it is {float(times.end_seconds):.3f} s long")
        return times.at(when.value)
    count = len(times.pts)
    if when.value >= count:
        raise UsageError(f"the clip has no frame {when.value}", f"it has {count} frames, 0 to {count - 1}")
    return int(when.value)


def check_inside(prompt: Prompt, width: int, height: int) -> None:
    """Check that a prompt lies inside the frame.

    Args:
        prompt: A point or a box, in pixels.
        width: Displayed width in pixels.
        height: Displayed height in pixels.

    Raises:
        UsageError: A point lies outside the frame, or a box reaches beyond it by a pixel or more; the advice says which
            coordinates may have been meant.
    """
    if _inside(prompt, width, height):
        return
    kind = "box" if prompt.is_box else "point"
    turned = replace(prompt, numbers=tuple(n for y, x in _pairs(prompt) for n in (x, y)))
    within = tuple(
        min(n, Fraction(side)) for pair in _pairs(prompt) for n, side in zip(pair, (width, height), strict=True)
    )
    cut = replace(prompt, numbers=within)
    if _inside(turned, width, height):
        advice = f"x comes before y: did you mean {turned}?"
    elif prompt.is_box and within[0] < within[2] and within[1] < within[3]:
        advice = f"did you mean {cut}? These are left, top, right and bottom, and no width or height"
    else:
        advice = "read coordinates off `vremove frame INPUT --grid -o grid.png`"
    raise UsageError(f"the {kind} {prompt} lies outside the frame, which is {width}x{height}", advice)


def _pairs(prompt: Prompt) -> list[tuple[Fraction, Fraction]]:
    """Return the (x, y) of a prompt's corners."""
    return list(zip(prompt.numbers[::2], prompt.numbers[1::2], strict=True))


def _inside(prompt: Prompt, width: int, height: int) -> bool:
    """Return whether a point is on a pixel; or whether a box begins on one and ends less than a pixel outside."""
    first, *last = _pairs(prompt)
    starts = first[0] < width and first[1] < height
    return starts and all(x < width + 1 and y < height + 1 for x, y in last)
