"""The result of a scan: `ClipInfo`, and its form as JSON."""

from dataclasses import dataclass
from fractions import Fraction

from vremove_cli.geometry import Orientation
from vremove_cli.media.colour import Colour
from vremove_cli.media.packet_times import Restart
from vremove_cli.media.pixel_format import Layout, layout_of
from vremove_cli.media.timing import FrameTimes

SEQUENCE = "image sequence"  # the container of images, beside FFmpeg's names


@dataclass(frozen=True)
class StreamInfo:
    """A stream of the file besides the edited one.

    Attributes:
        index: Index in the file.
        type: FFmpeg's name of the media type: "audio", "subtitle", "data", "attachment" or "video".
        codec: FFmpeg's name of the codec; the MIME type of an attachment.
        language: ISO 639-2 code; empty where the file has none.
        picture: Whether it is cover art.
        empty: Whether the file announces it and has no packet of it.
        encrypted: Whether its packets are encrypted: a copy would lack the key's name.
    """

    index: int
    type: str
    codec: str
    language: str = ""
    picture: bool = False
    empty: bool = False
    encrypted: bool = False

    def __str__(self) -> str:
        language = f" ({self.language})" if self.language else ""
        return f"#{self.index} {'cover art' if self.picture else self.type} {self.codec}{language}"


@dataclass(frozen=True)
class ClipInfo:
    """A scanned clip. Sizes are of stored (coded) pixels.

    Attributes:
        path: Path of the file, or folder or pattern of an image sequence.
        container: FFmpeg's name of the demuxer, or `SEQUENCE`.
        codec: FFmpeg's name of the video codec.
        profile: FFmpeg's name of the codec's profile; may be empty.
        tag: Four-character code of the codec, such as "avc1"; may be empty.
        width: Stored width in pixels.
        height: Stored height in pixels.
        pix_fmt: Pixel format that the decoder gives.
        edit_fmt: Its sibling that is edited (`pixel_format.SIBLINGS`); often the same.
        colour: Colour tags.
        matrix: Display matrix, nine fixed-point numbers in row order; empty for the identity.
        aspect: Aspect ratio of a pixel; 0 where the file does not say.
        hdr: Static HDR metadata in x265's notation, by option name ("master-display", "max-cll").
        dynamic_hdr: Whether frames carry dynamic HDR metadata (HDR10+, Dolby Vision, HDR Vivid).
        side_data: Names of all kinds of side data that a frame carries.
        stream: Index of the edited stream in the file.
        streams: The other streams.
        restarts: Where the file's times start again; `times` goes on there.
        chapters: Number of chapters.
        bit_rate: Mean bits a second of the video stream; 0 for images.
        timecode: SMPTE timecode of the first frame, as the file says; empty where it does not.
        times: Presentation times of all frames.
        cuts: Indices of the first frames of new shots.
        keyframes: Indices of the frames at which decoding may start.
        repeated: Indices of frames that could not be decoded and show the frame before.
        files: Paths of an image sequence's files, one for every frame; else empty.
        file_numbers: Numbers in the names of those files.
        notes: Sentences for the user.
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
    side_data: tuple[str, ...]
    stream: int
    streams: tuple[StreamInfo, ...]
    restarts: tuple[Restart, ...]
    chapters: int
    bit_rate: int
    timecode: str
    times: FrameTimes
    cuts: tuple[int, ...]
    keyframes: tuple[int, ...]
    repeated: tuple[int, ...]
    files: tuple[str, ...]
    file_numbers: tuple[int, ...]
    notes: tuple[str, ...]

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.times.pts)

    @property
    def layout(self) -> Layout:
        """Layout of the format that is edited."""
        return layout_of(self.edit_fmt)

    @property
    def is_sequence(self) -> bool:
        """Whether the clip is an image sequence."""
        return self.container == SEQUENCE

    @property
    def orientation(self) -> Orientation:
        """How stored pixels are turned for display."""
        orientation = Orientation.from_matrix(self.matrix) if self.matrix else Orientation()
        return orientation or Orientation()

    @property
    def shown_size(self) -> tuple[int, int]:
        """Displayed width and height; prompts and masks refer to displayed pixels."""
        return self.orientation.size(self.width, self.height)
