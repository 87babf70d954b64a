"""Objects that are named by a phrase: found on a frame of each shot, chosen among, and given on as boxes."""

from collections.abc import Callable
from dataclasses import dataclass

from vremove_cli.detection.grounding_dino import Detection, detect, load_detector
from vremove_cli.errors import NothingError, UsageError
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.job.events import Emit, Note
from vremove_cli.job.model_fetch import ensure_helper
from vremove_cli.job.request import Request
from vremove_cli.job.task_graph import segments_in
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.read import Clip
from vremove_cli.prompts import Prompt, parse_prompt
from vremove_cli.weights.catalogue import DETECTOR

LOOKS = 8  # frames of a shot that are looked at before it is given up, spread over it
_LISTED = 9


@dataclass(frozen=True)
class FoundMatch:
    """A match on a frame, of the shot with this number."""

    shot: int
    frame: int
    match: Detection

    def __str__(self) -> str:
        x0, y0, x1, y1 = (round(v) for v in self.match.box)
        return f"{x0},{y0},{x1},{y1} on frame {self.frame} ({self.match.score:.0%})"


def text_prompts(request: Request, clip: ClipInfo, span: FrameRange, emit: Emit, *, fetch: bool) -> list[Prompt]:
    """Boxes for what `request.text` names, in pixels of the displayed frame; none when the detector is not here and may
    not be fetched.

    Raises `NothingError` when nothing matches, `UsageError` when several things do and none was chosen, `ModelError`
    when the detector cannot be had.
    """
    place = ensure_helper(DETECTOR, "text", request, emit, fetch=fetch)
    if place is None:
        emit(Note(f"text: {DETECTOR} is not here; what is meant is looked for when it is"))
        return []
    detector = load_detector(*place)
    found: list[FoundMatch] = []
    shots = segments_in(span, clip, clip.frames + 1)
    for shot, piece in enumerate(shots):
        found += _first_found(clip, shot, piece, lambda picture: detect(detector, picture, request.text or ""))
    if not found:
        raise NothingError(f'nothing matches "{request.text}"', "say it otherwise, or give a point or a box")
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


def _first_found(
    clip: ClipInfo, shot: int, piece: FrameRange, look: Callable[..., list[Detection]]
) -> list[FoundMatch]:
    """The matches on the first frame of a shot that has any, among those that are looked at."""
    start, stop = piece
    step = -(-(stop - start) // LOOKS)
    for frame in range(start, stop, step):
        (picture,) = Clip(clip).frames(frame, frame + 1)
        if found := look(clip.orientation.display(picture.rgb8())):
            return [FoundMatch(shot, frame, m) for m in found]
    return []


def _chosen(request: Request, found: list[FoundMatch]) -> list[FoundMatch]:
    """The matches that are meant: as picked, all, or the only one of each shot."""
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
