"""Models that a job needs, and the progress of fetching them."""

from collections.abc import Callable

from vremove_cli.job.events import Emit, Note, Progress
from vremove_cli.job.request import Request
from vremove_cli.networks import devices
from vremove_cli.weights import store
from vremove_cli.weights.catalogue import Model, catalogue, find
from vremove_cli.weights.store import Checkpoint


def fetch_progress(emit: Emit) -> Callable[[int, int], None]:
    """Return a callback that reports fetched bytes and all bytes as progress."""
    return lambda done, total: emit(Progress("fetch", done, total))


def progress_if_allowed(request: Request, emit: Emit) -> Callable[[int, int], None] | None:
    """Return a callback that reports what is fetched; None where the request forbids to fetch."""
    return fetch_progress(emit) if request.fetches else None


def checkpoint_of(request: Request, model: Model, emit: Emit, *, fetch: bool) -> Checkpoint:
    """Return a model of a job; it is fetched if it may be.

    Raises:
        ModelError: It is to be fetched and cannot be had.
    """
    progress = progress_if_allowed(request, emit) if fetch else None
    found = store.checkpoint_for(model, request.own_weights, request.accept_license, progress)
    if fetch and not found.path:
        raise store.absent(model)
    return found


def helper_is_here(name: str, request: Request) -> bool:
    """Return whether a model that helps to plan a job is the user's own or cached."""
    return name in request.own_weights or store.find_cached(find(name, catalogue(request.models))) is not None


def ensure_helper(name: str, what: str, request: Request, emit: Emit, *, fetch: bool) -> tuple[str, str] | None:
    """Return the folder of a model that helps to plan a job, and the device to run it on.

    Args:
        name: The model.
        what: What it is for, for the note.
        request: The request.
        emit: Gets notes and progress.
        fetch: Whether it may be fetched.

    Returns:
        Folder and device; None when the model is not cached and may not be fetched.

    Raises:
        ModelError: The model cannot be had.
    """
    model = find(name, catalogue(request.models))
    if not helper_is_here(name, request):
        if not fetch:
            return None
        if not request.fetches:
            raise store.absent(model)
    folder: str | None = request.own_weights.get(name)
    if folder is None:
        folder = store.ensure(model, request.accept_license, fetch_progress(emit)).path
    device, reason = devices.choose_device(request.device)
    emit(Note(f"{what}: {name} on {device} ({reason})"))
    return folder, device
