"""What is known of a clip once it has been scanned: `ClipInfo`, and its form as JSON."""

from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from typing import Any

from vremove_cli.geometry import Orientation
from vremove_cli.media.colour import Colour
from vremove_cli.media.pixel_format import Layout, layout_of
from vremove_cli.media.timing import FrameTimes

SEQUENCE = "image sequence"


@dataclass(frozen=True)
class StreamInfo:
    """A stream that is not the edited one: its index in the file, type, codec and language."""

    index: int
    type: str
    codec: str
    language: str = ""
    picture: bool = False

    def __str__(self) -> str:
        language = f" ({self.language})" if self.language else ""
        return f"#{self.index} {'cover art' if self.picture else self.type} {self.codec}{language}"


@dataclass(frozen=True)
class ClipInfo:
    """A scanned clip. Sizes are of stored (coded) pixels; `orientation` turns them for display.

    `pix_fmt` is what the decoder gives, `edit_fmt` the sibling that is edited. `cuts` are first frames of new shots,
    `keyframes` the frames a decoder can start at, `repeated` the frames that could not be decoded and show the one
    before. `files` are the names of an image sequence. `hdr` holds static HDR metadata in x265's notation;
    `rich_tags` says that the file has tags with a name space, as QuickTime writes them.
    """

    path: str
    container: str
    codec: str
    profile: str
    tag: str
    width: int
    height: int
    pix_fmt: str
    edit_fmt: str
    colour: Colour
    matrix: tuple[int, ...]
    aspect: Fraction
    hdr: dict[str, str]
    dynamic_hdr: bool
    stream: int
    streams: tuple[StreamInfo, ...]
    rich_tags: bool
    chapters: int
    times: FrameTimes
    cuts: tuple[int, ...]
    keyframes: tuple[int, ...]
    repeated: tuple[int, ...]
    files: tuple[str, ...]
    file_numbers: tuple[int, ...]
    notes: tuple[str, ...]

    @property
    def frames(self) -> int:
        return len(self.times.pts)

    @property
    def layout(self) -> Layout:
        return layout_of(self.edit_fmt)

    @property
    def is_sequence(self) -> bool:
        return self.container == SEQUENCE

    @property
    def orientation(self) -> Orientation:
        found = Orientation.from_matrix(self.matrix) if self.matrix else Orientation()
        return found or Orientation()

    @property
    def shown_size(self) -> tuple[int, int]:
        """Displayed width and height, in which prompts and masks are given."""
        return self.orientation.size(self.width, self.height)

    def to_json(self) -> dict[str, Any]:
        data = asdict(self)
        data["aspect"] = str(self.aspect)
        data["times"]["time_base"] = str(self.times.time_base)
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "ClipInfo":
        times = data["times"]
        plain = {f.name: data[f.name] for f in fields(cls)}
        lists = ("matrix", "cuts", "keyframes", "repeated", "files", "file_numbers", "notes")
        return cls(
            **{
                **plain,
                **{name: tuple(data[name]) for name in lists},
                "aspect": Fraction(data["aspect"]),
                "colour": Colour(**data["colour"]),
                "streams": tuple(StreamInfo(**s) for s in data["streams"]),
                "times": FrameTimes(tuple(times["pts"]), Fraction(times["time_base"]), times["last_duration"]),
            }
        )
