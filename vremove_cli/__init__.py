"""vremove: erase an object from a video and get the same video back, with nothing else touched.

    from vremove_cli import erase, track, open_clip
    result = erase("clip.mp4", points=["320,240"])
    print(result.output, result.recovered)

The functions have the names and defaults of the command line; `on_event` gets what a job tells while it works.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["erase", "open_clip", "track"]

if TYPE_CHECKING:
    from vremove_cli.job.render import Summary
    from vremove_cli.media.read import Clip


def erase(input: str, output: str | None = None, **options: Any) -> "Summary":
    """Erase an object from a clip and return what was done; see `vremove_cli.job.run.erase` for the options."""
    from vremove_cli.job.runner import run_erase as run

    return run(input, output, **options)


def track(input: str, output: str, **options: Any) -> "Summary":
    """Write the masks that `erase` would use; see `vremove_cli.job.run.track` for the options."""
    from vremove_cli.job.runner import run_mask as run

    return run(input, output, **options)


def open_clip(path: str) -> "Clip":
    """Scan a clip: its frames, times and tags; see `vremove_cli.media.read.open_clip`."""
    from vremove_cli.media.read import open_clip as read

    return read(path)
