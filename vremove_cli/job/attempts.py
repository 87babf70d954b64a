"""Several fills of the same pixels, each from other noise, of which the best by score is kept."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from vremove_cli.errors import UsageError
from vremove_cli.geometry import Array
from vremove_cli.job.events import Emit
from vremove_cli.job.model_fetch import checkpoint_of
from vremove_cli.job.request import Request
from vremove_cli.networks import devices
from vremove_cli.networks.arithmetic import arithmetic_here
from vremove_cli.removers.base import RemoverSpec, Settings
from vremove_cli.removers.common.initial_latents import derive_seed
from vremove_cli.removers.rorem.success import BASE, JUDGE, SuccessJudge
from vremove_cli.weights.catalogue import catalogue, find

if TYPE_CHECKING:
    from vremove_cli.job.plan import Plan

Made = TypeVar("Made")
Judge = Callable[[Array, Array, Array], float]  # source, result (H, W, 3) uint8, mask (H, W) bool -> score, 0 to 1

_STREAM = 7  # keeps the seeds of attempts apart from those that are derived elsewhere


@dataclass(frozen=True)
class Attempts:
    """How often some pixels were filled.

    Attributes:
        frame: The keyframe, or the first frame of the stage.
        scores: Score of each attempt, 0 to 1, in order.
        kept: Index of the one that was kept.
    """

    frame: int
    scores: tuple[float, ...]
    kept: int


def judges(request: Request) -> bool:
    """Return whether fills are scored."""
    return request.candidates > 1 or request.min_score is not None


def judge_models(request: Request, spec: RemoverSpec, here: Callable[[str], bool]) -> tuple[str, ...]:
    """Return the models of the learnt score, if fills are scored and its own weights are here."""
    return (JUDGE, BASE) if judges(request) and spec.name != "plate" and here(JUDGE) else ()


def make_judge(plan: "Plan") -> Judge:
    """Return what scores fills: the learnt score of the plan's models, else the measures that need no weights."""
    known = {c.model.name: c for c in plan.checkpoints}
    if JUDGE in known:
        return SuccessJudge(known[JUDGE], known[BASE], plan.arithmetic)
    return measured_score


def find_judge(request: Request, emit: Emit) -> Judge | None:
    """Return the learnt score if its own weights are given in the request; its base is fetched if it is not here.

    Raises:
        ModelError: The base cannot be had, or the weights do not fit.
    """
    for name in request.own_weights:
        if name not in (JUDGE, BASE):
            raise UsageError(f"no score is measured with {name}", f"give --weights {JUDGE}=FOLDER, or leave it out")
    if JUDGE not in request.own_weights:
        return None
    models = catalogue(request.models)
    judge, base = (checkpoint_of(request, find(name, models), emit, fetch=True) for name in (JUDGE, BASE))
    return SuccessJudge(judge, base, arithmetic_here(devices.choose_device(request.device)[0]))


def measured_score(source: Array, result: Array, mask: Array) -> float:
    """Return the score of a picture by the measures of `quality`, 0 to 1; 1 where nothing can be measured."""
    from vremove_cli.quality.meter import Meter, Pictures

    meter = Meter()
    for _ in meter.add_shot(source[None], mask[None], [Pictures(source, result, mask)]):
        pass
    found = meter.score()
    return 1.0 if found is None else found.overall / 100


def best_attempt(
    request: Request, settings: Settings, frame: int, make: Callable[[Settings], Made], score: Callable[[Made], float]
) -> tuple[Made, Attempts | None]:
    """Return the best of several attempts; after one that is good enough there are no more.

    Args:
        request: How many there are at most, and what is good enough.
        settings: Settings of the first attempt; later ones have seeds of their own.
        frame: The frame, for the report.
        make: Makes an attempt.
        score: Scores one.

    Returns:
        The attempt, and all scores; None where nothing is scored.
    """
    made = make(settings)
    if not judges(request):
        return made, None
    best, kept, scores = made, 0, [score(made)]
    for n in range(1, max(request.candidates, 1 + request.retry)):
        if request.min_score is not None and max(scores) >= request.min_score:
            break
        made = make(replace(settings, seed=derive_seed(settings.seed, n, _STREAM)))
        scores.append(score(made))
        if scores[-1] > scores[kept]:
            best, kept = made, n
    return best, Attempts(frame, tuple(round(s, 4) for s in scores), kept)


def as_levels(picture: Array) -> Array:
    """Return a picture (H, W, 3) float32 in [0, 1] as uint8."""
    return np.clip(np.rint(picture * 255), 0, 255).astype(np.uint8)
