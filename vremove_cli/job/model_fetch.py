"""Models that a job needs while it is decided."""

from collections.abc import Callable

from vremove_cli.job.events import Emit, Note, Progress
from vremove_cli.job.request import Request
from vremove_cli.networks import devices
from vremove_cli.weights import store
from vremove_cli.weights.catalogue import catalogue, find


def fetch_progress(emit: Emit) -> Callable[[int, int], None]:
    """What tells of bytes fetched."""
    return lambda done, total: emit(Progress("fetch", done, total))


def ensure_helper(name: str, what: str, request: Request, emit: Emit, *, fetch: bool) -> tuple[str, str] | None:
    """The folder of a model that is asked while a job is decided, and the device to ask it on, which is told as `what`;
    None when it is not here and may not be fetched. Raises `ModelError`."""
    own, model = request.own_weights, find(name, catalogue(request.models))
    folder: str | None = own.get(name)
    if folder is None:
        if not fetch and store.find_cached(model) is None:
            return None
        folder = store.ensure(model, request.accept_license, fetch_progress(emit)).folder
    where, why = devices.choose_device(request.device)
    emit(Note(f"{what}: {name} on {where} ({why})"))
    return folder, where
