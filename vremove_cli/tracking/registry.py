"""Trackers by name: `flow`, which needs no weights, and every model of the catalogue whose task is to track.

Other packages provide trackers by entry points in the group `vremove.trackers`; `auto` never chooses one of those.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from vremove_cli import plugins
from vremove_cli.errors import UsageError
from vremove_cli.networks.arithmetic import Arithmetic
from vremove_cli.tracking.base import Tracker
from vremove_cli.tracking.flow.tracker import FlowTracker
from vremove_cli.weights import store
from vremove_cli.weights.catalogue import Model, find
from vremove_cli.weights.store import Checkpoint

FAMILY = ("sam2-large", "sam2-base-plus", "sam2-small", "sam2-tiny")  # best first
FEW = 16  # frames below which the number of frames changes a network's masks: its largest number of object pointers
CPU_KEYFRAMES = 10  # frames between keyframes on a CPU, where a network takes seconds for each: see docs/masks.md
MEMBERS = ("name", "input_size", "begin", "correct", "adopt", "propagate")  # of `Tracker`; packages must have them


@dataclass(frozen=True)
class TrackerChoice:
    """A chosen tracker.

    Attributes:
        name: Name of the tracker.
        why: Reason of the choice, for the user.
        every: Frames between keyframes; 1 for every frame.
        checkpoint: The model that it runs; None for flow.
        engine: Whose code runs a SAM 2: transformers, or sam2 for the authors' package.
    """

    name: str
    why: str
    every: int = 1
    checkpoint: Checkpoint | None = None
    engine: str = "transformers"


def choose_tracker(
    asked: str,
    every: int | None,
    on: Callable[[], tuple[str, str]],
    models: dict[str, Model],
    own: dict[str, str],
    accepted: Collection[str],
    progress: Callable[[int, int], None] | None,
) -> TrackerChoice:
    """Choose the tracker for a job.

    Args:
        asked: Name of a tracker, `sam2` for the best one of its family, or `auto`.
        every: Frames between keyframes; None for the default.
        on: Returns the device that networks run on, and the reason for it; called where one is needed.
        models: The catalogue, by name.
        own: Paths of the user's own weights, by model name.
        accepted: Models whose licence the user accepts.
        progress: Called with bytes done and in all; without it nothing is downloaded.

    Raises:
        UsageError: The tracker or the device is unknown.
        ModelError: The weights are not available.
    """
    known = {n: m for n, m in models.items() if m.task == "track" and m.architecture}
    available = [n for n in known if asked in ("auto", "sam2") and (n in own or store.find_cached(known[n]))]
    if asked == "flow" or (asked == "auto" and not available):
        if every not in (None, 1):
            raise UsageError("the flow tracker follows every frame", "leave --track-every out, or add --tracker sam2")
        why = "as asked" if asked == "flow" else "no weights are here; `vremove models pull sam2-small` fetches some"
        return TrackerChoice("flow", why)
    if asked not in ("auto", "sam2", *known):
        if asked in plugins.names(plugins.TRACKERS):
            return _provided(asked, every, on)
        names = ", ".join(("auto", "flow", "sam2", *known, *plugins.names(plugins.TRACKERS)))
        raise UsageError(f"there is no tracker '{asked}'", f"choose one of: {names}")
    where, reason = on()
    slow = where == "cpu"
    if asked == "auto":
        name, why = _best(available, slow), "its weights are here"
    elif asked == "sam2":
        family = [n for n in available if n in FAMILY]
        name = _best(family, slow) if family else "sam2-tiny" if slow else "sam2-base-plus"
        why = "as asked"
    else:
        name, why = asked, "as asked"
    step = every or (CPU_KEYFRAMES if slow else 1)
    why = f"{why}; on {where}, {reason}" + (f"; on every {step}th frame, flow between them" if step > 1 else "")
    return TrackerChoice(name, why, step, store.checkpoint_for(find(name, known), own, accepted, progress))


def make_tracker(choice: TrackerChoice, arithmetic: Arithmetic, frames: int) -> Tracker:
    """Make a tracker.

    Args:
        choice: The chosen tracker.
        arithmetic: How its network computes, on a device of this machine.
        frames: Frames of the clip.

    Raises:
        ModelError: The weights do not fit the network.
    """
    if choice.name == "flow":
        return FlowTracker()
    if choice.checkpoint is None:
        if choice.name not in plugins.names(plugins.TRACKERS):
            raise plugins.missing(plugins.TRACKERS, choice.name)
        made: Tracker = plugins.load(plugins.TRACKERS, choice.name)(arithmetic.device, frames)
        plugins.check_members(plugins.TRACKERS, choice.name, made, MEMBERS)
        return made
    seen = frames_seen(choice, frames)
    if choice.engine == "sam2":
        from vremove_cli.tracking import sam2_package

        loaded = sam2_package.load_network(choice.checkpoint.path, arithmetic.device)
        return sam2_package.Sam2PackageTracker(loaded, seen, choice.every, arithmetic)
    from vremove_cli.tracking.sam2 import Sam2Tracker, load_network

    network = load_network(choice.checkpoint.model.architecture, choice.checkpoint.path, arithmetic)
    return Sam2Tracker(network, seen, choice.every, arithmetic.attention)


def runs_network(choice: TrackerChoice) -> bool:
    """Return whether a tracker runs a network, as that of another package may."""
    return choice.checkpoint is not None or choice.name not in ("flow", "file")


def with_engine(choice: TrackerChoice, engine: str) -> TrackerChoice:
    """Return a choice with the engine that runs it.

    Args:
        choice: The chosen tracker.
        engine: transformers or sam2.

    Raises:
        UsageError: The engine is sam2, and the tracker is no SAM 2.
    """
    if engine == "transformers":
        return choice
    if choice.name == "file":
        raise UsageError(f"--sam2-engine {engine} tracks, and a mask was given", "use one or the other")
    if choice.checkpoint is None or choice.checkpoint.model.architecture != "sam2":
        raise UsageError(
            f"--sam2-engine {engine} runs no tracker but SAM 2, and this one is {choice.name} ({choice.why})",
            "add --tracker sam2, or leave --sam2-engine out",
        )
    return replace(choice, why=f"{choice.why}; by the {engine} package", engine=engine)


def _provided(name: str, every: int | None, on: Callable[[], tuple[str, str]]) -> TrackerChoice:
    """Choose the tracker of an installed package: it tracks every frame."""
    if every not in (None, 1):
        raise UsageError(f"the tracker {name} tracks every frame", "leave --track-every out, or add --tracker sam2")
    plugins.load(plugins.TRACKERS, name)  # a broken package is reported now, and not when the work begins
    where, reason = on()
    return TrackerChoice(name, f"as asked; on {where}, {reason}")


def frames_seen(choice: TrackerChoice, frames: int) -> int:
    """Return how many of a clip's frames the network sees: all, or the keyframes."""
    return -(-frames // choice.every)


def _best(names: list[str], slow: bool) -> str:
    """Return the largest of some trackers, or the smallest on a slow device; models of the user's own come first."""
    rank = {name: k for k, name in enumerate(FAMILY)}
    custom = [n for n in names if n not in rank and n != "edgetam"]
    ranked = sorted((n for n in names if n in rank), key=lambda n: rank[n], reverse=slow)
    return (custom + ranked + names)[0]
