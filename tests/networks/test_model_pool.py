"""The pool of loaded networks: reuse, replacement without overlap, release, failures, threads, and what it counts."""

import logging
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch

from vremove_cli.networks.model_pool import ModelPool, quiet_libraries


class Tied(torch.nn.Linear):
    """A module in a reference cycle, as hooks make one: only the garbage collector frees it."""

    def __init__(self) -> None:
        super().__init__(8, 8)
        self.itself = [self]


@dataclass(frozen=True)
class Pair:
    network: torch.nn.Module
    name: str


def linear() -> torch.nn.Module:
    return torch.nn.Linear(8, 8)


def never() -> torch.nn.Module:
    pytest.fail("it was loaded again")


def test_the_same_key_gives_the_same_network() -> None:
    own = ModelPool()
    first = own.get("track", ("a", 1), linear, "cpu")
    assert own.get("track", ("a", 1), never, "cpu") is first


@pytest.mark.parametrize(("key", "device"), [("b", "cpu"), ("a", "cuda")])
def test_another_key_or_device_gives_another_network(key: str, device: str) -> None:
    own = ModelPool()
    first = own.get("track", "a", linear, "cpu")
    assert own.get("track", key, linear, device) is not first


@pytest.mark.parametrize("make", [linear, Tied])
def test_the_old_network_is_dead_before_the_new_one_is_made(make: Callable[[], torch.nn.Module]) -> None:
    own = ModelPool()
    old = weakref.ref(own.get("remove", "old", make, "cpu"))
    alive = []

    def load() -> torch.nn.Module:
        alive.append(old() is not None)
        return linear()

    own.get("remove", "new", load, "cpu")
    assert alive == [False]


def test_kinds_do_not_replace_each_other() -> None:
    own = ModelPool()
    tracker = own.get("track", "a", linear, "cpu")
    own.get("remove", "a", linear, "cpu")
    assert own.get("track", "a", never, "cpu") is tracker


def test_release_drops_some_kinds_and_release_all_the_rest() -> None:
    own = ModelPool()
    made = {kind: weakref.ref(own.get(kind, "a", Tied, "cpu")) for kind in ("track", "detect", "remove")}
    own.release("track", "reason")
    assert [kind for kind, network in made.items() if network() is not None] == ["detect", "remove"]
    own.release_all()
    assert all(network() is None for network in made.values())
    own.release_all()


def test_a_failed_load_raises_and_leaves_the_kind_empty() -> None:
    own = ModelPool()
    old = weakref.ref(own.get("vae", "old", linear, "cpu"))

    def broken() -> torch.nn.Module:
        raise ValueError("no such file")

    with pytest.raises(ValueError, match="no such file"):
        own.get("vae", "new", broken, "cpu")
    assert old() is None
    assert own.held_bytes("cpu") == 0
    assert own.get("vae", "new", linear, "cpu") is not None


def test_a_loader_may_ask_for_another_kind() -> None:
    own = ModelPool()
    outer = own.get(
        "embeds", "a", lambda: next(own.get("encode", "a", linear, "cpu").parameters()).detach().clone(), "cpu"
    )
    assert torch.equal(outer, next(own.get("encode", "a", never, "cpu").parameters()))


def test_threads_that_want_one_network_load_it_once() -> None:
    own, loads, found = ModelPool(), [], []
    start = threading.Barrier(8)

    def load() -> torch.nn.Module:
        loads.append(threading.get_ident())
        threading.Event().wait(0.05)
        return linear()

    def work() -> None:
        start.wait()
        found.append(own.get("track", "a", load, "cpu"))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loads) == 1
    assert len({id(network) for network in found}) == 1


def test_threads_that_want_different_networks_never_load_beside_each_other() -> None:
    own, loading, most = ModelPool(), [0], [0]

    def load() -> torch.nn.Module:
        loading[0] += 1
        most[0] = max(most[0], loading[0])
        threading.Event().wait(0.01)
        loading[0] -= 1
        return linear()

    threads = [threading.Thread(target=own.get, args=("remove", n, load, "cpu")) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_bytes_are_counted_by_device_and_kind_and_shared_weights_once() -> None:
    own, weights = ModelPool(), 4 * (8 * 8 + 8)
    shared = linear()
    own.get("track", "a", lambda: (shared, Pair(shared, "x"), "text"), "cpu")
    own.get("detect", "a", lambda: Pair(linear(), "x"), "cpu")
    own.get("embeds", "a", lambda: torch.zeros(3), "cpu")
    own.get("reason", "a", lambda: linear().to("meta"), "cpu")
    assert own.held_bytes("cpu") == 2 * weights + 12
    assert own.held_bytes("cpu", without=("track", "embeds")) == weights
    assert own.held_bytes("meta") == weights


def test_the_libraries_are_quiet_once_a_network_was_loaded() -> None:
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    ModelPool().get("track", "a", linear, "cpu")
    assert quiet_libraries.cache_info().currsize == 1
    assert of_diffusers.get_verbosity() == logging.ERROR
    assert of_transformers.get_verbosity() == logging.ERROR
    assert not of_transformers.is_progress_bar_enabled()
