"""Models on this machine: found in the cache, fetched when asked, held to what was fetched first."""

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from vremove_cli.errors import ModelError
from vremove_cli.weights import hub
from vremove_cli.weights.catalogue import Model
from vremove_cli.weights.lock import FileHash, Pin, hold, lock_path, pin_of, pins

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Part:
    """A model of a job: where it lies ("" where it is not here yet), and which commit it is ("" for the user's own)."""

    model: Model
    path: str = ""
    commit: str = ""


@dataclass(frozen=True)
class Checkpoint:
    """A model's files on this machine: `folder` holds them as the repository does at `commit`."""

    name: str
    folder: str
    commit: str


def find_cached(model: Model) -> Checkpoint | None:
    """A model that is here whole, without asking the network; None otherwise."""
    pin = pin_of(model)
    if pin is not None:
        return _complete(model, pin)
    commit = hub.cached_commit(model.repo, model.revision) if model.repo else None
    return _cached(model, commit) if commit is not None else None


def ensure(model: Model, accepted: Collection[str], progress: Progress) -> Checkpoint:
    """A model's files, fetched if they are not here; raises `ModelError` when they cannot be had or may not be used."""
    check_licence(model, accepted)
    found = find_cached(model)
    if found is None:
        return pull(model, accepted, progress)
    if pin_of(model) is None:
        with suppress(ModelError):  # what is here can be used where nothing can be written, as in a container
            _record(model, found.commit, {f: Path(found.folder) / f for f in model.files}, accepted)
    return found


def pull(model: Model, accepted: Collection[str], progress: Progress) -> Checkpoint:
    """Fetch what is missing of a model and hold it to that from now on; raises `ModelError`."""
    check_licence(model, accepted)
    _check_source(model)
    pin = pin_of(model)
    if pin is not None and (whole := _complete(model, pin)) is not None:
        return whole
    listed = hub.snapshot(model.repo, pin.commit if pin else model.revision)
    wanted = listed.matching(_patterns(model, pin))
    paths = hub.fetch(listed, wanted, progress)
    for path, held in pin.files.items() if pin else ():
        if hub.sha256_of(paths[path]) != held.sha256:
            raise ModelError(
                f"{model.repo}/{path} is not what it was when {model.name} was first fetched",
                f"find out why; `vremove models lock {model.name}` takes what it is now",
            )
    if pin is None or set(pin.files) != set(paths):
        agreed = {model.name} if pin is not None and pin.accepted else accepted
        _record(model, listed.commit, paths, agreed)
    first = next(iter(wanted))
    return Checkpoint(model.name, _root(paths[first], first), listed.commit)


def part_of(model: Model, own: dict[str, str], accepted: Collection[str], progress: Progress | None) -> Part:
    """A model for a job: the user's own file, or what is here, or, with `progress`, fetched. Raises `ModelError`."""
    if model.name in own:
        return Part(model, own[model.name])
    found = ensure(model, accepted, progress) if progress else find_cached(model)
    return Part(model, found.folder, found.commit) if found else Part(model)


def ensure_planned(part: Part, accepted: Collection[str], progress: Progress) -> Part:
    """A job's model on this machine, as it was when the job was planned, maybe elsewhere."""
    if not part.commit:
        return part
    found = fetch_commit(part.model, part.commit, accepted, progress)
    return Part(part.model, found.folder, part.commit)


def fetch_commit(model: Model, commit: str, accepted: Collection[str], progress: Progress) -> Checkpoint:
    """A model as it is at a commit, whatever this machine is held to; raises `ModelError`."""
    check_licence(model, accepted)
    here = find_cached(model)
    if here is None or here.commit != commit:
        here = _cached(model, commit)
    if here is not None:
        return here
    listed = hub.snapshot(model.repo, commit)
    wanted = listed.matching(model.files)
    paths = hub.fetch(listed, wanted, progress)
    first = next(iter(wanted))
    return Checkpoint(model.name, _root(paths[first], first), commit)


def to_fetch(model: Model) -> int:
    """Bytes that a pull would fetch; asks the Hub unless the model is here whole."""
    if find_cached(model) is not None:
        return 0
    _check_source(model)
    pin = pin_of(model)
    listed = hub.snapshot(model.repo, pin.commit if pin else model.revision)
    return hub.left_to_fetch(listed, listed.matching(_patterns(model, pin)))


def verify(model: Model) -> list[str]:
    """What is wrong with a fetched model's files, by their hashes; raises `ModelError` when it was not fetched."""
    pin = pin_of(model)
    if pin is None:
        raise ModelError(f"{model.name} was not fetched yet", f"`vremove models pull {model.name}`")
    wrong = []
    for path, held in pin.files.items():
        file = hub.cached(model.repo, pin.commit, path)
        if file is None or not file.exists():
            wrong.append(f"{path} is missing")
        elif file.stat().st_size != held.size or hub.sha256_of(file) != held.sha256:
            wrong.append(f"{path} is damaged")
    return wrong


def remove(model: Model, everything: dict[str, Model]) -> int:
    """Delete a model's files, but those that another model holds too; gives the bytes that are free again.

    What a broken-off transfer left goes too, unless it may be another's of `everything` that can be fetched.
    """
    if not model.repo:
        return 0
    pin = pin_of(model)
    commit = pin.commit if pin else hub.cached_commit(model.repo, model.revision)
    others = [p for name, p in pins().items() if name != model.name and p.repo == model.repo and p.commit == commit]
    shared = {path for p in others for path in p.files}
    alone = all(m.repo != model.repo for m in everything.values() if m.name != model.name)
    freed = hub.delete_files(model.repo, commit, set(pin.files if pin else model.files) - shared, partial=alone)
    hold(model.name, None)
    return freed


def relock(model: Model, accepted: Collection[str], progress: Progress) -> Pin:
    """Hold a model to what its revision is now, and fetch that; raises `ModelError`."""
    check_licence(model, accepted)
    _check_source(model)
    before = pin_of(model)
    agreed = {model.name} if before is not None and before.accepted else accepted
    listed = hub.snapshot(model.repo, model.revision)
    paths = hub.fetch(listed, listed.matching(model.files), progress)
    return _record(model, listed.commit, paths, agreed)


def check_licence(model: Model, accepted: Collection[str]) -> None:
    """Raise `ModelError` when a model's licence limits its use and the user has not said that this is accepted."""
    if model.commercial:
        return
    pin = pin_of(model)
    if (pin is not None and pin.accepted) or {model.name, model.licence} & set(accepted):
        return
    raise ModelError(
        f"{model.name} is not free for every use (licence: {model.licence}, {model.licence_url})",
        f"if it is for yours, add --accept-license {model.name}",
    )


def _check_source(model: Model) -> None:
    if not model.repo:
        raise ModelError(
            f"{model.name} is not on the Hub", f"fetch it from {model.manual}, then give --weights {model.name}=FILE"
        )


def _cached(model: Model, commit: str) -> Checkpoint | None:
    """A model at a commit, if all its files are here; which ones a pattern means is known from the lock only."""
    if any(set("*?[") & set(f) for f in model.files):
        return None
    found = [hub.cached(model.repo, commit, f) for f in model.files]
    return Checkpoint(model.name, _root(found[0], model.files[0]), commit) if all(found) else None


def _patterns(model: Model, pin: Pin | None) -> tuple[str, ...]:
    """What to fetch of a model: what it was held to, and what its table names since."""
    return tuple(dict.fromkeys((*(pin.files if pin else ()), *model.files)))


def _complete(model: Model, pin: Pin) -> Checkpoint | None:
    """The checkpoint of a pin, if all its files are here with their sizes."""
    if not all(any(fnmatch(path, pattern) for path in pin.files) for pattern in model.files):
        return None  # its table names more than was fetched
    found = {path: hub.cached(model.repo, pin.commit, path) for path in pin.files}
    for path, file in found.items():
        if file is None or not file.exists() or file.stat().st_size != pin.files[path].size:
            return None
    first = next(iter(found))
    return Checkpoint(model.name, _root(found[first], first), pin.commit)


def _record(model: Model, commit: str, paths: dict[str, Path], accepted: Collection[str]) -> Pin:
    files = {p: FileHash(f.stat().st_size, hub.sha256_of(f)) for p, f in paths.items()}
    agreed = not model.commercial and bool({model.name, model.licence} & set(accepted))
    pin = Pin(model.repo, model.revision, commit, files, accepted=agreed)
    try:
        hold(model.name, pin)
    except OSError as error:
        raise ModelError(
            f"{lock_path()} cannot be written ({error.strerror})", "give yourself the permission"
        ) from error
    return pin


def _root(file: Path | None, path: str) -> str:
    """The folder that holds `path`, from where the file lies."""
    assert file is not None
    return str(file.parents[len(Path(path).parts) - 1])
