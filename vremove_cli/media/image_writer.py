"""Write a clip as an image sequence, one file for every frame, all of them or none."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from PIL import Image

from vremove_cli.atomic import replace_folder
from vremove_cli.media import jpeg, sequence
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.encoder_choice import IMAGE_ENCODERS, image_suffix
from vremove_cli.media.encoder_context import (
    JPEG,
    EncodeSpec,
    configure_encoder,
    sibling_layout,
    to_format,
    to_jfif,
)
from vremove_cli.media.picture_metadata import carry, profile_of, same_kind
from vremove_cli.media.pixel_format import views
from vremove_cli.media.read import Frame


class ImageWriter:
    """Encodes each frame into a file of its own in a folder.

    Args:
        folder: Folder that gets the files.
        output: The user's output path, which gives the files' names.
        info: The clip.
        spec: The encoder's specification.
    """

    def __init__(self, folder: Path, output: str, info: ClipInfo, spec: EncodeSpec) -> None:
        self._folder, self._output, self._info, self._spec = folder, output, info, spec

    def write(self, frame: Frame) -> None:
        """Encode the next frame, with what its source says beside the samples."""
        file = Path(self._info.files[frame.index]) if self._info.files else None
        source = file if same_kind(self._info, self._spec) else None
        if self._spec.encoder == JPEG:
            encoded = self._jpeg(frame, file, source)
        elif self._spec.encoder == "libwebp" and self._spec.lossless:
            encoded = self._lossless_webp(frame)
        else:
            encoded = self._encode(frame)
        data = carry(source, encoded, self._spec.encoder, self._info.orientation)
        (self._folder / image_path(self._output, self._info, frame.index).name).write_bytes(data)

    def _encode(self, frame: Frame) -> bytes:
        """Encode with FFmpeg."""
        context = av.CodecContext.create(self._spec.encoder, "w")
        configure_encoder(context, self._spec, self._info, self._info.times.time_base)
        raw = to_format(frame.raw, self._info, self._spec.pix_fmt)
        raw.pict_type = 0
        return b"".join(bytes(p) for p in [*context.encode(raw), *context.encode()])

    def _lossless_webp(self, frame: Frame) -> bytes:
        """Encode with Pillow, which can keep the colours of pixels that are transparent; FFmpeg cannot."""
        fmt, mode = ("rgba", "RGBA") if sibling_layout(self._spec.pix_fmt).alpha else ("rgb24", "RGB")
        samples = to_format(frame.raw, self._info, fmt).to_ndarray()
        out = io.BytesIO()
        Image.fromarray(samples, mode).save(out, "WEBP", lossless=True, exact=True)
        return out.getvalue()

    def _jpeg(self, frame: Frame, file: Path | None, source: Path | None) -> bytes:
        """Encode as JPEG: as the source, if it is one, else with its colour profile."""
        own, layout = self._info.layout, sibling_layout(self._spec.pix_fmt)
        coding = jpeg.coding_of(source) if source else jpeg.Coding((), progressive=False)
        profile = profile_of(file) if file and not source and (own.model == "gray") == (layout.model == "gray") else b""
        if own.model == "rgb" and own.bits == 8:
            return jpeg.encode(frame.planes(), own, coding, profile, keep_rgb=layout.model == "rgb")
        raw = to_jfif(frame.raw, self._info, self._spec.pix_fmt)
        return jpeg.encode(views(raw, layout), layout, coding, profile)


@contextmanager
def open_image_writer(output: str, info: ClipInfo, spec: EncodeSpec) -> Iterator[ImageWriter]:
    """Yield an `ImageWriter` whose files appear when the block ends without an error.

    Raises:
        OSError: The folder or a file cannot be written.
    """
    with replace_folder(image_path(output, info, 0).absolute().parent) as hidden:
        yield ImageWriter(hidden, output, info, spec)


def image_path(output: str, info: ClipInfo, index: int) -> Path:
    """Return the path of one frame's file.

    Args:
        output: The user's output path: an image for a clip of one frame, a pattern, or a folder.
        info: The clip.
        index: Index of the frame.
    """
    if info.frames == 1 and Path(output).suffix.lower() in IMAGE_ENCODERS and not sequence.has_number(output):
        return Path(output)
    number = info.file_numbers[index] if info.files else index
    source = Path(info.files[index]) if info.files else Path(sequence.picture_name(number, image_suffix(output, info)))
    return sequence.output_name(output, source, number)
