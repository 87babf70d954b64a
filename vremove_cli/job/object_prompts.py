"""Prompts of a request: read from their text, checked against each other, and resolved to frames and stored pixels."""

from dataclasses import replace

from vremove_cli.errors import UsageError
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.job.request import Request
from vremove_cli.media.clip import ClipInfo
from vremove_cli.prompts import Prompt, check_inside, frame_of, parse_key_mask, parse_prompt
from vremove_cli.tracking.base import ObjectPrompts

UNNAMED = "object"  # name of the object without a name
AFFECTED = "affected"  # an object of this name, or of one that begins so, is not erased: it will move

PromptsByObject = dict[str, dict[int, ObjectPrompts]]


def is_affected(name: str) -> bool:
    """Return whether an object of this name is not erased, but will move once the erased one is gone."""
    return name == AFFECTED or name.startswith(f"{AFFECTED}.")


def object_prompts(request: Request) -> list[Prompt]:
    """Return the prompts for what is erased.

    Args:
        request: The request.

    Returns:
        Points, negative points, boxes and key masks; empty where a mask or only a phrase says what is erased.

    Raises:
        UsageError: A prompt cannot be read, prompts contradict each other, or nothing says what to erase.
    """
    prompts = read_object_prompts(request)
    _check_sources(request, prompts)
    check_names(prompts, by_text=bool(request.text))
    return prompts


def read_object_prompts(request: Request) -> list[Prompt]:
    """Return the prompts for what is erased, whatever else the request lacks.

    Raises:
        UsageError: A prompt cannot be read.
    """
    prompts = [parse_prompt(p, "point") for p in request.point]
    prompts += [parse_prompt(p, "point", positive=False) for p in request.not_point]
    prompts += [parse_prompt(p, "box") for p in request.box]
    return prompts + [parse_key_mask(p) for p in request.key_mask]


def _check_sources(request: Request, prompts: list[Prompt]) -> None:
    """Raise `UsageError` unless exactly one kind of source says what to erase."""
    if request.text is not None and not request.text.strip(" ."):
        raise UsageError("--text is empty", 'say what to erase, as in --text "the dog"')
    if request.mask_file and (prompts or request.text):
        raise UsageError("a mask and points, boxes, key masks or a text were given", "use one or the other")
    if (request.pick or request.all_matches) and not request.text:
        raise UsageError("--pick and --all-matches choose among what --text finds", "add --text PHRASE")
    if not request.mask_file and not request.text and not any(p.positive for p in prompts):
        raise UsageError("nothing says what to erase", "add --point X,Y or --box X0,Y0,X1,Y1 or --mask FILE")


def check_names(prompts: list[Prompt], *, by_text: bool = False) -> None:
    """Check the names of objects.

    Args:
        prompts: All prompts.
        by_text: Whether a phrase names objects, too.

    Raises:
        UsageError: A name is reserved, an object has two names, or it has negative points alone.
    """
    if taken := next((p.name for p in prompts if is_affected(p.name)), None):
        raise UsageError(f"an object is named '{taken}'", "give it another name: this one is for what will move")
    names = {p.name for p in prompts} | ({""} if by_text else set())
    if names >= {"", UNNAMED}:
        raise UsageError(
            f"one object is named '{UNNAMED}' and one has no name, which are the same", "name each of them differently"
        )
    named = {p.name for p in prompts if p.positive}
    for name in names:
        may_be_found = by_text and (not name or name.startswith("match"))
        if name not in named and not may_be_found:
            raise UsageError(f"object '{name}' has only negative points", f"add --point {name}=X,Y")


def affected_object_prompts(request: Request) -> list[Prompt]:
    """Return the user's prompts for what will move, under names of their own.

    Raises:
        UsageError: A prompt cannot be read.
    """
    prompts = [parse_prompt(p, "point") for p in request.affected_point]
    prompts += [parse_prompt(p, "box") for p in request.affected_box]
    return [replace(p, name=f"{AFFECTED}.{p.name}" if p.name else AFFECTED) for p in prompts]


def prompts_by_object(prompts: list[Prompt], clip: ClipInfo, span: FrameRange) -> PromptsByObject:
    """Resolve prompts to frames and stored pixels.

    Args:
        prompts: All prompts, in pixels of the displayed frame.
        clip: The clip.
        span: Frames that are edited.

    Returns:
        Prompts in stored pixels, by object name and frame.

    Raises:
        UsageError: A prompt lies outside the frame or the edited range, a key mask is not the only prompt of its object
            and frame, or a frame has a negative point before anything says what the object is.
    """
    prompts = [prompt.in_pixels(*clip.shown_size) for prompt in prompts]
    first: dict[str, int] = {}  # frames on which objects have their first positive prompt
    for prompt in (p for p in prompts if p.positive):
        frame = _frame_for(prompt, clip, span.start)
        first[prompt.name] = min(frame, first.get(prompt.name, frame))
    grouped: dict[str, dict[int, list[Prompt]]] = {}
    for prompt in prompts:
        if not prompt.mask:
            check_inside(prompt, *clip.shown_size)
        frame = _frame_for(prompt, clip, span.start if prompt.positive else first[prompt.name])
        if not span.holds(frame):
            raise UsageError(f"the prompt {prompt} lies outside the range that is edited", "move --start or --end")
        grouped.setdefault(prompt.name, {}).setdefault(frame, []).append(prompt)
    out = {name: {t: _together(p, t, clip) for t, p in by_frame.items()} for name, by_frame in grouped.items()}
    for name, by_frame in out.items():
        frame = min(by_frame)
        if not by_frame[frame].positive:
            raise UsageError(
                f"frame {frame} has a negative point and nothing says before it what the object is",
                f"add --point {name}{'=' if name else ''}@{frame}:X,Y on the object",
            )
    return out


def _frame_for(prompt: Prompt, clip: ClipInfo, default: int) -> int:
    """Return the frame of a prompt: as written, else the default."""
    return default if prompt.when is None else frame_of(prompt.when, clip)


def _together(prompts: list[Prompt], frame: int, clip: ClipInfo) -> ObjectPrompts:
    """Return an object's prompts on a frame, turned from displayed to stored pixels."""
    mask = next((p.mask for p in prompts if p.mask), None)
    if mask and len(prompts) > 1:
        raise UsageError(
            f"{prompts[0].name or UNNAMED} has a key mask and another prompt on frame {frame}",
            "leave out the other one, since the mask says all of it",
        )
    if mask:
        return ObjectPrompts(mask=mask)
    points = [p for p in prompts if not p.is_box]
    return ObjectPrompts(
        tuple(_stored(clip, *p.xy) for p in points if p.positive),
        tuple(_stored(clip, *p.xy) for p in points if not p.positive),
        tuple(_stored_box(clip, *p.xy) for p in prompts if p.is_box),
    )


def _stored(clip: ClipInfo, x: float, y: float) -> tuple[float, float]:
    return clip.orientation.store_point(x, y, clip.width, clip.height)


def _stored_box(clip: ClipInfo, x0: float, y0: float, x1: float, y1: float) -> tuple[float, float, float, float]:
    width, height = clip.shown_size
    one = _stored(clip, x0, y0)
    two = _stored(clip, min(x1, width) - 1, min(y1, height) - 1)
    left, right = sorted((one[0], two[0]))
    top, bottom = sorted((one[1], two[1]))
    return left, top, right + 1, bottom + 1
