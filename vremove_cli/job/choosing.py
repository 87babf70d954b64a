"""Choosing a job's tracker and remover: the facts, the question, the downloads."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from vremove_cli.errors import UsageError
from vremove_cli.job.attempts import judge_models
from vremove_cli.job.choices import (
    MOVERS,
    REMOVERS,
    STILLS,
    Ask,
    Candidate,
    Choice,
    Facts,
    Question,
    choose_remover,
    fetched_text,
    missing,
    tracker_wanted,
)
from vremove_cli.job.events import Emit
from vremove_cli.job.gpu_memory import demand_of
from vremove_cli.job.model_fetch import checkpoint_of, progress_if_allowed
from vremove_cli.job.request import Request
from vremove_cli.job.target import Target
from vremove_cli.media.clip import ClipInfo
from vremove_cli.networks import devices
from vremove_cli.removers import registry
from vremove_cli.removers.common.placement import choose_mode
from vremove_cli.removers.common.vram_estimate import TILES, MemoryMode
from vremove_cli.tracking import registry as trackers
from vremove_cli.tracking.registry import TrackerChoice
from vremove_cli.weights import store
from vremove_cli.weights.catalogue import Model, catalogue, find
from vremove_cli.weights.store import Checkpoint

_SMALLEST = MemoryMode("offload", TILES[-1])


@dataclass(frozen=True)
class Proposal:
    """What a job would take if its downloads are allowed.

    Attributes:
        tracker: The tracker that auto fetches; "" for none.
        remover: Name of the remover.
        choice: The choice of the remover, for the user.
        better: How to track better; "" where nothing is to be done.
        asked: Models that auto wants and that are not here.
    """

    tracker: str
    remover: str
    choice: Choice
    better: str
    asked: tuple[Model, ...]


@dataclass(frozen=True)
class Chosen:
    """A job's tracker and remover.

    Attributes:
        tracker: The tracker and its model.
        remover: Name of the remover.
        checkpoints: The remover's models.
        conditional: Whether the remover works only on shots where recovery leaves too much.
        choices: Both choices for the user.
    """

    tracker: TrackerChoice
    remover: str
    checkpoints: tuple[Checkpoint, ...]
    conditional: bool
    choices: tuple[Choice, ...]


def propose(request: Request, clip: ClipInfo, target: Target, *, moves: bool, fetches: bool) -> Proposal:
    """Return the tracker and the remover that a job would take.

    Args:
        request: The request.
        clip: The clip.
        target: The device that the job is planned for.
        moves: Whether something will move once the object is gone.
        fetches: Whether auto may fetch models, perhaps after a question.

    Raises:
        UsageError: There is no such remover, or it does not read a setting that is given.
    """
    models = catalogue(request.models)
    facts = _facts(request, models, target, fetches=fetches)
    tracker = tracker_wanted(facts, models) if _needs_tracker(request, models, facts) else ""
    remover, choice = _remover(request, clip, models, facts, target, moves=moves)
    registry.make(remover, request.settings({}))
    better = f"`--download auto`: {fetched_text([models[tracker]])}" if tracker and not fetches else ""
    tracker = tracker if fetches else ""
    wanted = [models[tracker]] if tracker else []
    if request.remover == "auto":
        wanted += [models[name] for name in registry.spec_of(remover).models_for(request.settings({}))]
    return Proposal(tracker, remover, choice, better, missing(facts, wanted))


def settle(
    request: Request,
    clip: ClipInfo,
    target: Target,
    proposal: Proposal,
    emit: Emit,
    ask: Ask | None,
    *,
    moves: bool,
    fetch: bool,
) -> Chosen:
    """Ask for the proposal's downloads, if the user is to be asked, and fetch all models.

    Args:
        request: The request.
        clip: The clip.
        target: The device that the job is planned for.
        proposal: What `propose` returned.
        emit: Gets the progress of downloads.
        ask: Asks the user; None where nobody can be asked.
        moves: Whether something will move once the object is gone.
        fetch: Whether anything may be fetched now; a rehearsal says what would be.

    Raises:
        UsageError: A name is unknown.
        ModelError: A model cannot be had.
    """
    if proposal.asked and request.download == "ask" and not (fetch and ask and ask(Question(proposal.asked))):
        proposal = propose(request, clip, target, moves=moves, fetches=False)
    models, name = catalogue(request.models), proposal.remover
    tracker = _tracker(request, models, lambda: (target.device, target.why), proposal.tracker, emit, fetch=fetch)
    spec = registry.spec_of(name)
    given = [model for model in spec.extra_models if model in request.own_weights]
    judging = judge_models(request, spec, lambda model: model in request.own_weights)
    needed = (*spec.models_for(request.settings({})), *given, *judging)
    checkpoints = tuple(checkpoint_of(request, find(n, models), emit, fetch=fetch) for n in needed)
    conditional = request.remover == "auto" and name != "plate" and not moves
    choices = (Choice("tracker", tracker.name, tracker.why, better=proposal.better), proposal.choice)
    return Chosen(tracker, name, checkpoints, conditional, choices)


def _remover(
    request: Request, clip: ClipInfo, models: dict[str, Model], facts: Facts, target: Target, *, moves: bool
) -> tuple[str, Choice]:
    """Return the remover, and the choice for the user."""
    if request.remover != "auto":
        return registry.check_name(request.remover), Choice("remover", request.remover, "by --remover")
    names = MOVERS if moves else STILLS if clip.frames == 1 else REMOVERS
    candidates = (_candidate(name, request, clip, models, target) for name in names)
    return choose_remover(facts, candidates, moves=moves, frames=clip.frames)


def _needs_tracker(request: Request, models: dict[str, Model], facts: Facts) -> bool:
    """Return whether auto is to track, and no weights of a tracker are here."""
    auto = request.tracker == "auto" and not request.static and not _mask_given(request)
    known = {name for name, model in models.items() if model.task == "track" and model.architecture}
    return auto and request.sam2_engine == "transformers" and not known & facts.here


def _mask_given(request: Request) -> bool:
    """Return whether the masks are the user's, and nothing is to be tracked."""
    return bool(request.mask_file) and not (request.affected_point or request.affected_box or request.affected_by)


def _facts(request: Request, models: dict[str, Model], target: Target, *, fetches: bool) -> Facts:
    own = frozenset(request.own_weights)
    here = own | {name for name, model in models.items() if store.find_cached(model) is not None}
    allowed = {name for name, model in models.items() if store.is_allowed(model, request.accept_license)}
    return Facts(target.device, target.free, here, own | allowed, fetches)


def _candidate(name: str, request: Request, clip: ClipInfo, models: dict[str, Model], target: Target) -> Candidate:
    """Return what speaks for and against a remover on the device that the job is planned for."""
    spec = registry.spec_of(name)
    own = tuple(models[model] for model in spec.models_for(request.settings({})) if model in models)
    try:
        made = registry.make(name, request.settings({}))
        demand = demand_of(made, request, clip)
    except UsageError as error:
        return Candidate(name, own, refused=error.problem)
    if request.recover == "off":
        return Candidate(name, own, refused="--recover off leaves the choice to --remover")
    if target.device == "cpu":
        return Candidate(name, own, demand.bytes_in(_SMALLEST, target.arithmetic))
    mode = choose_mode(demand, target.arithmetic, request.memory, target.free, elsewhere=not target.measured)
    return Candidate(name, own, demand.bytes_in(mode, target.arithmetic))


def tracker_for(request: Request, target: Target | None = None) -> TrackerChoice:
    """Return the tracker that a job gets without fetching anything.

    Args:
        request: The request.
        target: The device that the job is planned for; None: this machine's.
    """

    def on() -> tuple[str, str]:
        return devices.choose_device(request.device) if target is None else (target.device, target.why)

    return _tracker(request, catalogue(request.models), on, "", None, fetch=False)


def _tracker(
    request: Request,
    models: dict[str, Model],
    on: Callable[[], tuple[str, str]],
    wanted: str,
    emit: Emit | None,
    *,
    fetch: bool,
) -> TrackerChoice:
    """Return the tracker; `on` gives its device with the reason, and `wanted` is the one that auto fetches."""
    if _mask_given(request):
        return trackers.with_engine(TrackerChoice("file", "a mask was given"), request.sam2_engine)
    for name in request.own_weights:
        find(name, models)
    choice = trackers.choose_tracker(
        "flow" if request.static else wanted or request.tracker,  # what is fixed to the screen needs no network
        request.track_every,
        on,
        models,
        request.own_weights,
        request.accept_license,
        progress_if_allowed(request, emit) if emit and fetch else None,
    )
    if choice.checkpoint is not None and fetch and not choice.checkpoint.path:
        raise store.absent(choice.checkpoint.model)
    if wanted:
        choice = replace(choice, why=choice.why.replace("as asked", "fetched for this job", 1))
    return trackers.with_engine(choice, request.sam2_engine)
