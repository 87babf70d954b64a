"""What `auto` takes, as a table: device, memory, weights, licences, and whether they may be fetched."""

from dataclasses import dataclass, replace
from typing import Any

import pytest

from vremove_cli.job.choices import (
    FILL_SHARE,
    MOVERS,
    REMOVERS,
    STILLS,
    Candidate,
    Facts,
    Question,
    choose_remover,
    fill_wanted,
    missing,
    tracker_wanted,
)
from vremove_cli.removers import registry
from vremove_cli.weights.catalogue import catalogue

MODELS = catalogue()
ALL = frozenset(MODELS)
FREE = frozenset(name for name, model in MODELS.items() if model.commercial)
GPU = Facts("cuda", 40e9, here=ALL, allowed=FREE, fetches=False)


def candidates(*names: str, **more: Any) -> list[Candidate]:
    """Removers with their models, which fit into the GPU unless it is said otherwise."""
    models = {name: tuple(MODELS[m] for m in registry.spec_of(name).models) for name in names}
    return [replace(Candidate(name, models[name], need=int(8e9)), **more) for name in names]


@dataclass(frozen=True)
class Case:
    """A machine, and what it gets: remover, reason against the first candidate, and the way to something better."""

    facts: Facts
    remover: str
    against: str = ""
    better: str = ""
    moves: bool = False


CASES = {
    "a GPU with weights": Case(GPU, "rose"),
    "no GPU": Case(
        replace(GPU, device="cpu"), "plate", "there is no GPU", "`--remover rose` on a GPU with 9 GB of memory"
    ),
    "too small a GPU": Case(
        replace(GPU, free=4e9), "plate", "it takes 8.0 GB of GPU memory and 4.0 GB are free",
        "`--remover rose` on a GPU with 9 GB of memory",
    ),
    "no weights": Case(
        replace(GPU, here=frozenset()), "plate", "its weights are not here", "`--download auto`: rose (3.1 GB"
    ),
    "no weights, may be fetched": Case(replace(GPU, here=frozenset(), fetches=True), "rose"),
    "only a restricted one, not accepted": Case(
        replace(GPU, here=frozenset({"minimax-remover"})), "plate", "its weights are not here", "`--download auto`"
    ),
    "only a restricted one, accepted": Case(
        replace(GPU, here=frozenset({"minimax-remover"}), allowed=FREE | {"minimax-remover"}), "minimax",
        "its weights are not here",
    ),
    "something moves, a licence is not accepted": Case(
        GPU, "plate", "its licence (CogVideoX) is not accepted", moves=True
    ),
    "something moves": Case(replace(GPU, allowed=ALL), "void", moves=True),
    "something moves, no GPU": Case(
        replace(GPU, device="cpu", allowed=ALL), "plate", "there is no GPU",
        "`--remover void` on a GPU with 9 GB of memory", moves=True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_remover_of_auto(case: Case) -> None:
    names = MOVERS if case.moves else REMOVERS
    remover, choice = choose_remover(case.facts, candidates(*names), moves=case.moves, frames=9)
    assert (remover, choice.name) == (case.remover, case.remover)
    assert (choice.left_out[0][1] if choice.left_out else "") == case.against
    assert choice.better.startswith(case.better)
    assert bool(choice.better) == bool(case.better)


@pytest.mark.parametrize(
    ("facts", "remover"),
    [
        (replace(GPU, here=ALL, allowed=ALL), "rorem"), (replace(GPU, here=ALL, allowed=FREE), "rose"),
        (replace(GPU, device="cpu", here=ALL, allowed=ALL), "plate"),
    ],
)  # fmt: skip
def test_the_remover_of_a_picture(facts: Facts, remover: str) -> None:
    assert choose_remover(facts, candidates(*STILLS), moves=False, frames=1)[0] == remover


def test_a_remover_that_does_not_read_a_setting_is_left_out() -> None:
    refused = candidates("rose", refused="rose takes no --conditioning")
    remover, choice = choose_remover(GPU, refused, moves=False, frames=9)
    assert remover == "plate"
    assert choice.left_out == (("rose", "rose takes no --conditioning"),)
    assert not choice.better


@pytest.mark.parametrize(
    ("device", "free", "tracker"),
    [("cpu", float("inf"), "sam2-tiny"), ("cuda", 24e9, "sam2-large"), ("cuda", 6e9, "sam2-base-plus"),
     ("mps", 20e9, "sam2-large")],
)  # fmt: skip
def test_the_tracker_that_auto_would_fetch(device: str, free: float, tracker: str) -> None:
    assert tracker_wanted(replace(GPU, device=device, free=free), MODELS) == tracker


@pytest.mark.parametrize(
    ("recovered", "doubtful", "unseen", "clear", "wanted"),
    [
        (100, 0, 0, True, False), (99, 0, 1, True, False), (98, 2, 0, True, False), (97, 0, 3, True, True),
        (97, 3, 0, True, True), (100, 0, 0, False, True), (0, 0, 0, True, False),
    ],
)  # fmt: skip
def test_a_network_fills_what_recovery_left(
    recovered: int, doubtful: int, unseen: int, clear: bool, wanted: bool
) -> None:
    assert FILL_SHARE == 0.02
    assert fill_wanted(recovered, doubtful, unseen, clear=clear) == wanted


def test_a_question_names_models_sizes_licences_and_time() -> None:
    models = missing(replace(GPU, here=frozenset()), [MODELS["sam2-tiny"], MODELS["rose"]])
    text = str(Question(models))
    assert "sam2-tiny (156 MB, Apache-2.0), rose (3.1 GB, Apache-2.0)" in text
    assert "about 5 min at 10 MB/s" in text


def test_what_is_here_is_not_asked_for() -> None:
    assert missing(GPU, [MODELS["sam2-tiny"]]) == ()


def test_a_choice_says_what_it_left_out_and_why() -> None:
    _, choice = choose_remover(replace(GPU, device="cpu"), candidates(*REMOVERS), moves=False, frames=9)
    assert str(choice) == "remover: plate (recovers what other frames show; not rose: there is no GPU)"
