"""vremove info: what a clip is."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vremove_cli.commands.signature import Given, command, reporting

if TYPE_CHECKING:
    from vremove_cli.media.clip import ClipInfo


_OF_A_PICTURE = ("input", "codec", "size", "rotated", "pixel_format", "colour", "notes")  # what people want to know


@command(name="info", only=lambda o: o.name in ("json", "debug"))
def info(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="A video, image sequence or folder.")],
    given: Given,
) -> None:
    """Say what a clip is: frames, times, size, pixel format, colour, other streams, cuts.

    vremove info clip.mp4
    """
    with reporting(given, source) as console:
        from vremove_cli.media.probe import scan

        clip = scan(source, allow_interlaced=True)
        facts = _facts(clip)
        shown = _OF_A_PICTURE if clip.is_sequence and clip.frames == 1 else tuple(facts)
        console.data("clip", facts, "\n".join(f"{k}: {facts[k]}" for k in shown))


def _facts(clip: "ClipInfo") -> dict[str, Any]:
    width, height = clip.shown_size
    colour = clip.colour
    return {
        "input": clip.path,
        "container": clip.container,
        "codec": clip.codec,
        "profile": clip.profile,
        "size": f"{width}x{height}",
        "rotated": not clip.orientation.identity,
        "frames": clip.frames,
        "seconds": round(float(clip.times.end_seconds), 3),
        "rate": "constant" if clip.times.constant else "variable",
        "frames_per_second": round(float(clip.times.rate), 3),
        "bits_per_second": clip.bit_rate,
        "timecode": clip.timecode,
        "time_base": str(clip.times.time_base),
        "pixel_format": clip.pix_fmt,
        "colour": f"{colour.primaries}/{colour.transfer}/{colour.matrix} range {colour.range}",
        "hdr": clip.hdr,
        "streams": [str(s) for s in clip.streams],
        "chapters": clip.chapters,
        "cuts": list(clip.cuts),
        "notes": list(clip.notes),
    }
