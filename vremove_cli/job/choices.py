"""What `auto` takes: a tracker and a remover, by the device, its memory, the weights that are here, and licences.

Each rule is a function of plain facts. The planner gathers the facts, asks for a download if one is wanted, and puts
the choices into the plan.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import ceil

from vremove_cli.tracking.registry import FAMILY
from vremove_cli.weights.catalogue import Model

FILL_SHARE = 0.02  # share of the erased pixels that are doubtful or never seen, from which a network fills them
_LARGE_BYTES = 8e9  # free GPU memory from which the large tracker is fetched; it takes 2.8 GB
REMOVERS = ("rose", "undereraser", "minimax")  # for a hole, best first; only ROSE's weights are free for every use
STILLS = ("rorem", *REMOVERS)  # for a picture
MOVERS = ("void",)  # for what will move once the object is gone
_RATE = 10e6  # bytes a second that a download is expected to take


@dataclass(frozen=True)
class Choice:
    """What was chosen, and what was not.

    Attributes:
        what: tracker or remover.
        name: The one that was chosen.
        why: The reason.
        left_out: What would have been better in principle, each with what spoke against it.
        better: How to get something better; "" where nothing is.
    """

    what: str
    name: str
    why: str
    left_out: tuple[tuple[str, str], ...] = ()
    better: str = ""

    def __str__(self) -> str:
        others = "".join(f"; not {name}: {reason}" for name, reason in self.left_out[:1])  # all are in the plan
        return f"{self.what}: {self.name} ({self.why}{others})"


@dataclass(frozen=True)
class Question:
    """Models that would make a better result, for the user to fetch or not.

    Attributes:
        models: The models.
    """

    models: tuple[Model, ...]

    def __str__(self) -> str:
        megabytes = sum(m.megabytes for m in self.models)
        minutes = max(1, round(megabytes * 1e6 / _RATE / 60))
        time = f"about {minutes} min at {_RATE / 1e6:.0f} MB/s"
        return f"Fetch {fetched_text(self.models)}, for a better result? {time}; kept for later jobs."


Ask = Callable[[Question], bool]  # asks the user; the answer is whether to fetch


@dataclass(frozen=True)
class Candidate:
    """A remover that auto may take.

    Attributes:
        name: Its name.
        models: Its models.
        need: Bytes of GPU memory in the least memory mode that was found.
        refused: Why the request rules it out; "" if it does not.
    """

    name: str
    models: tuple[Model, ...]
    need: int = 0
    refused: str = ""


@dataclass(frozen=True)
class Facts:
    """What choices depend on.

    Attributes:
        device: cuda, xpu, mps or cpu.
        free: Bytes of the device's memory that are free.
        here: Names of models whose weights are here.
        allowed: Names of models whose licence allows this job: every use, or accepted.
        fetches: Whether missing weights may be fetched.
    """

    device: str
    free: float
    here: frozenset[str]
    allowed: frozenset[str]
    fetches: bool


def tracker_wanted(facts: Facts, known: Mapping[str, Model]) -> str:
    """Return the tracker of SAM 2's family that auto takes where no weights of a tracker are here.

    On a CPU a network takes seconds a frame: the smallest follows keyframes.
    """
    if facts.device == "cpu":
        return FAMILY[-1] if FAMILY[-1] in known else ""
    first = FAMILY[0] if facts.free >= _LARGE_BYTES else FAMILY[1]
    return first if first in known else ""


def choose_remover(facts: Facts, candidates: Iterable[Candidate], *, moves: bool, frames: int) -> tuple[str, Choice]:
    """Return the remover that auto takes, and the choice for the user.

    Args:
        facts: The machine and its models.
        candidates: Removers to think of, best first.
        moves: Whether something will move once the object is gone: recovered pixels do not help there.
        frames: Frames of the clip. Of one picture nothing can be recovered.
    """
    left_out: list[tuple[str, str]] = []
    better = ""
    for one in candidates:
        reason = _against(facts, one)
        if not reason:
            when = "what moves" if moves else f"where more than {FILL_SHARE:.0%} of a shot's hole was never seen"
            how = "generates what the object hides" if frames == 1 else f"recovers first, then generates {when}"
            return one.name, Choice("remover", one.name, how, tuple(left_out))
        left_out.append((one.name, reason))
        better = better or _better(facts, one)
    how = "continues what surrounds the object" if frames == 1 else "recovers what other frames show"
    return "plate", Choice("remover", "plate", how, tuple(left_out), better)


def missing(facts: Facts, models: Iterable[Model]) -> tuple[Model, ...]:
    """Return the models whose weights are not here."""
    return tuple(m for m in models if m.name not in facts.here)


def _against(facts: Facts, one: Candidate) -> str:
    """Return why a remover cannot be taken; "" if it can."""
    if one.refused:
        return one.refused
    limited = [m for m in one.models if m.name not in facts.allowed]
    if limited:
        return f"its licence ({limited[0].licence}) is not accepted"
    if facts.device == "cpu":
        return "there is no GPU"
    if one.need > facts.free:
        return f"it takes {one.need / 1e9:.1f} GB of GPU memory and {facts.free / 1e9:.1f} GB are free"
    absent = missing(facts, one.models)
    if absent and not (facts.fetches and all(m.repo for m in absent)):
        return "its weights are not here"
    return ""


def _better(facts: Facts, one: Candidate) -> str:
    """Return how a free remover could be used after all."""
    if one.refused or any(m.name not in facts.allowed for m in one.models):
        return ""
    if facts.device == "cpu" or one.need > facts.free:
        return f"`--remover {one.name}` on a GPU with {ceil(one.need / 1e9) + 1} GB of memory"
    return f"`--download auto`: {fetched_text(missing(facts, one.models))}"


def fetched_text(models: Iterable[Model]) -> str:
    """Return models with what a download of each takes."""
    return ", ".join(f"{m.name} ({size_text(m.megabytes)}, {m.licence})" for m in models)


def size_text(megabytes: int) -> str:
    """Return the size of a download."""
    if not megabytes:
        return "size unknown"
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes} MB"


def fill_wanted(recovered: int, doubtful: int, unseen: int, *, clear: bool) -> bool:
    """Return whether a network is to fill the hole of a shot after recovery.

    Args:
        recovered: Pixels that other frames showed.
        doubtful: Pixels that may be wrong.
        unseen: Pixels that no frame showed.
        clear: Whether all shadows and reflections were solved.
    """
    return not clear or doubtful + unseen > FILL_SHARE * max(1, recovered + doubtful + unseen)
