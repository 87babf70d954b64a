"""Where new shots begin: as the scan found it, or as the user says."""

import re
from pathlib import Path

from vremove_cli.errors import UsageError
from vremove_cli.media.clip import ClipInfo
from vremove_cli.prompts import frame_of, parse_when

WORDS = ("auto", "none")
_START = "Start Frame"  # a column of PySceneDetect's list of scenes; it counts frames from 1
_MOMENTS = re.compile(r"[\d.:#s,;\s]+")  # anything else is the name of a file


def cuts_text(value: str) -> str:
    """Return what the user said as it goes into a request: a word, or moments with commas. A file is read.

    A file has a cut in each line (a frame, or a time as `4.5s`), or is a list of scenes of PySceneDetect (CSV).

    Raises:
        UsageError: The file cannot be read, or there is a line that is no moment.
    """
    if value in WORDS:
        return value
    moments = value.split(",") if _MOMENTS.fullmatch(value) else _in_file(value)
    return ",".join(str(parse_when(moment.strip())) for moment in moments)


def cuts_of(text: str, clip: ClipInfo) -> tuple[int, ...]:
    """Return the first frames of new shots, without frame 0.

    Args:
        text: What `cuts_text` returned.
        clip: The clip, with the cuts that the scan found.

    Raises:
        UsageError: A moment lies outside the clip.
    """
    if text in WORDS:
        return clip.cuts if text == "auto" else ()
    found = {frame_of(parse_when(moment), clip) for moment in text.split(",")}
    return tuple(sorted(found - {0}))


def _in_file(path: str) -> list[str]:
    """Return the moments that a file lists."""
    try:
        rows = [line.split(",") for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"--cuts {path} cannot be read", "give auto, none, frames as 48,120, or a text file"
        ) from error
    head = next((i for i, row in enumerate(rows) if _START in row), None)
    if head is None:
        return [row[0] for row in rows]
    column = rows[head].index(_START)
    return [_before(row[column]) for row in rows[head + 1 :] if len(row) > column]


def _before(number: str) -> str:
    """Return a frame counted from 0 of one counted from 1."""
    return str(int(number) - 1) if number.strip().isdigit() else number
