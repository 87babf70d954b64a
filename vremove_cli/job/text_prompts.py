"""Objects named by a phrase: found on one frame of each shot, chosen, and turned into boxes."""

from collections.abc import Callable
from dataclasses import dataclass

from vremove_cli.detection.grounding_dino import Detection, detect, load_detector
from vremove_cli.errors import NothingError, UsageError
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.geometry import Array
from vremove_cli.job.events import Emit, Note
from vremove_cli.job.model_fetch import ensure_helper
from vremove_cli.job.request import Request
from vremove_cli.job.task_graph import shots_in
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.read import Clip
from vremove_cli.prompts import Prompt, parse_prompt
from vremove_cli.weights.catalogue import DETECTOR

LOOKS = 8  # frames of a shot that are searched, spread over it, before it is given up
_LISTED = 9  # matches that an error lists at most


@dataclass(frozen=True)
class FoundMatch:
    """A detection on a frame.

    Attributes:
        shot: Number of the shot.
        frame: Index of the frame.
        match: The detection.
    """

    shot: int
    frame: int
    match: Detection

    def __str__(self) -> str:
        x0, y0, x1, y1 = (round(v) for v in self.match.box)
        return f"{x0},{y0},{x1},{y1} on frame {self.frame} ({self.match.score:.0%})"


def text_prompts(request: Request, clip: ClipInfo, span: FrameRange, emit: Emit, *, fetch: bool) -> list[Prompt]:
    """Return boxes for what `request.text` names.

    Args:
        request: The request.
        clip: The clip.
        span: Frames that are edited.
        emit: Gets notes and progress.
        fetch: Whether the detector may be fetched.

    Returns:
        Boxes in pixels of the displayed frame; none when the detector is not cached and may not be fetched.

    Raises:
        NothingError: Nothing matches.
        UsageError: Several things match and none was chosen.
        ModelError: The detector cannot be had.
    """
    place = ensure_helper(DETECTOR, "text", request, emit, fetch=fetch)
    if place is None:
        emit(Note(f"text: {DETECTOR} is not on this machine; a run fetches it and looks for the object"))
        return []
    detector = load_detector(*place)
    shots = shots_in(span, clip)
    found: list[FoundMatch] = []
    for shot, piece in enumerate(shots):
        found += _search(clip, shot, piece, lambda picture: detect(detector, picture, request.text or ""))
    if not found:
        raise NothingError(f'nothing matches "{request.text}"', "use other words, or give a point or a box")
    chosen = _chosen(request, found)
    prompts = []
    for shot in range(len(shots)):
        for n, one in enumerate([f for f in chosen if f.shot == shot]):
            x0, y0, x1, y1 = one.match.box
            name = f"match{n + 1}=" if n else ""
            prompts.append(parse_prompt(f"{name}@{one.frame}:{x0:.1f},{y0:.1f},{x1:.1f},{y1:.1f}", "box"))
    for one in chosen:
        emit(Note(f'"{request.text}": {one}'))
    return prompts


def _search(
    clip: ClipInfo, shot: int, piece: FrameRange, find_in: Callable[[Array], list[Detection]]
) -> list[FoundMatch]:
    """Return the detections on the first searched frame of a shot that has any."""
    step = -(-piece.length // LOOKS)
    for frame in range(piece.start, piece.stop, step):
        (picture,) = Clip(clip).frames(frame, frame + 1)
        if found := find_in(clip.orientation.display(picture.rgb8())):
            return [FoundMatch(shot, frame, m) for m in found]
    return []


def _chosen(request: Request, found: list[FoundMatch]) -> list[FoundMatch]:
    """Return the matches that are meant: the picked ones, all, or the only one of each shot."""
    if request.pick:
        for k in request.pick:
            if not 1 <= k <= len(found):
                raise UsageError(f"--pick {k} is none of the {len(found)} matches", _listed(found))
        return [found[k - 1] for k in dict.fromkeys(request.pick)]
    if request.all_matches or len({f.shot for f in found}) == len(found):
        return found
    raise UsageError(
        f'{len(found)} things match "{request.text}": {_listed(found)}', "add --pick NUMBER, or --all-matches"
    )


def _listed(found: list[FoundMatch]) -> str:
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    return "; ".join(f"{k}: {one}" for k, one in enumerate(found[:_LISTED], 1)) + more
