"""Models on this machine: found in the cache, fetched on request, pinned to the commit of the first fetch."""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from vremove_cli.errors import ModelError
from vremove_cli.weights import hub
from vremove_cli.weights.catalogue import Model
from vremove_cli.weights.lock import FileHash, Pin, lock_path, pin_of, pins, set_pin

Progress = Callable[[int, int], None]  # bytes done, bytes in all
_PATTERN = set("*?[")


@dataclass(frozen=True)
class Checkpoint:
    """A model's files on this machine.

    Attributes:
        model: Its table of the catalogue, as it was when the job was planned.
        path: Folder with the repository's layout, or the user's own file or folder; "" while it is not fetched.
        commit: Commit of the repository; "" for the user's own.
    """

    model: Model
    path: str = ""
    commit: str = ""

    def part(self, name: str) -> Path:
        """Return the file or folder of a part of the model, by the `parts` of its table.

        A file of the user's own is the one part of a model that has a single one.

        Raises:
            ModelError: The files of the model lack this part.
        """
        own, candidates = Path(self.path), self.model.parts.get(name, ())
        if own.is_file() and list(self.model.parts) == [name]:
            return own
        for path in candidates:
            if (own / path).exists():
                return own / path
        missing = " or ".join(candidates) or name
        raise ModelError(
            f"{self.path} holds no {missing}", f"`vremove models verify {self.model.name}` names the fault"
        )


def find_cached(model: Model) -> Checkpoint | None:
    """Return a model whose files are all in the cache, without network access; None if one is missing."""
    pin = pin_of(model)
    if pin is not None:
        return _pinned(model, pin)
    commit = hub.cached_commit(model.repo, model.revision) if model.repo else None
    return _cached(model, commit) if commit is not None else None


def ensure(model: Model, accepted: Collection[str], progress: Progress) -> Checkpoint:
    """Return a model's files, and fetch them if they are not in the cache.

    Args:
        model: The model.
        accepted: Names of models and licences whose terms the user accepted.
        progress: Gets bytes done and bytes in all.

    Raises:
        ModelError: The files cannot be fetched, or the licence is not accepted.
    """
    check_licence(model, accepted)
    found = find_cached(model)
    if found is None:
        return pull(model, accepted, progress)
    if pin_of(model) is None:
        with suppress(ModelError):  # cached files are of use where nothing can be written, as in a container
            _record(model, found.commit, {f: Path(found.path) / f for f in model.files}, accepted)
    return found


def pull(model: Model, accepted: Collection[str], progress: Progress) -> Checkpoint:
    """Fetch the missing files of a model, and pin it.

    Args:
        model: The model.
        accepted: Names of models and licences whose terms the user accepted.
        progress: Gets bytes done and bytes in all.

    Raises:
        ModelError: The files cannot be fetched, differ from the pinned ones, or the licence is not accepted.
    """
    check_licence(model, accepted)
    check_source(model)
    pin = pin_of(model)
    if pin is not None and (complete := _pinned(model, pin)) is not None:
        return complete
    listed = hub.snapshot(model.repo, pin.commit if pin else model.revision)
    wanted = listed.matching(_patterns(model, pin))
    paths = hub.fetch(listed, wanted, progress)
    for path, held in pin.files.items() if pin else ():
        if hub.sha256_of(paths[path]) != held.sha256:
            raise ModelError(
                f"{model.repo}/{path} is not what it was when {model.name} was first fetched",
                f"find out why; `vremove models lock {model.name}` accepts the present file",
            )
    if pin is None or set(pin.files) != set(paths):
        agreed = {model.name} if pin is not None and pin.accepted else accepted
        _record(model, listed.commit, paths, agreed)
    return _checkpoint(model, listed.commit, paths)


def checkpoint_for(
    model: Model, own: Mapping[str, str], accepted: Collection[str], progress: Progress | None
) -> Checkpoint:
    """Return a model for a job: the user's own file, the cached files, or, with `progress`, the fetched ones.

    Args:
        model: The model.
        own: Paths of the user's own weights by model name.
        accepted: Names of models and licences whose terms the user accepted.
        progress: Gets bytes done and bytes in all; None: nothing is fetched.

    Returns:
        The checkpoint; without a path if the files are not cached and may not be fetched.

    Raises:
        ModelError: The files cannot be fetched, or the licence is not accepted.
    """
    if model.name in own:
        return Checkpoint(model, own[model.name])
    found = ensure(model, accepted, progress) if progress else find_cached(model)
    return found or Checkpoint(model)


def ensure_planned(planned: Checkpoint, accepted: Collection[str], progress: Progress | None) -> Checkpoint:
    """Return a plan's checkpoint on this machine, at the commit of the plan; the user's own stays as it is.

    Args:
        planned: The checkpoint on the machine that made the plan.
        accepted: Names of models and licences whose terms the user accepted.
        progress: Gets bytes done and bytes in all; None: nothing is fetched.

    Raises:
        ModelError: The files cannot be fetched or must not be, or the licence is not accepted.
    """
    return fetch_commit(planned.model, planned.commit, accepted, progress) if planned.commit else planned


def fetch_commit(model: Model, commit: str, accepted: Collection[str], progress: Progress | None) -> Checkpoint:
    """Return a model at a commit, whatever commit this machine has pinned.

    Args:
        model: The model.
        commit: Commit of its repository.
        accepted: Names of models and licences whose terms the user accepted.
        progress: Gets bytes done and bytes in all; None: nothing is fetched.

    Raises:
        ModelError: The files cannot be fetched or must not be, or the licence is not accepted.
    """
    check_licence(model, accepted)
    found = find_cached(model)
    if found is None or found.commit != commit:
        found = _cached(model, commit)
    if found is not None:
        return found
    if progress is None:
        raise absent(model)
    listed = hub.snapshot(model.repo, commit)
    return _checkpoint(model, commit, hub.fetch(listed, listed.matching(model.files), progress))


def absent(model: Model) -> ModelError:
    """Return the error of a model that is not here and must not be fetched."""
    problem = f"{model.name} is not on this machine, and --download never keeps it from being fetched"
    return ModelError(problem, f"`vremove models pull {model.name}` fetches it")


def to_fetch(model: Model) -> int:
    """Return the bytes that a pull would fetch; asks the Hub unless all files are cached.

    Raises:
        ModelError: The Hub cannot be asked, or the model is not on it.
    """
    if find_cached(model) is not None:
        return 0
    check_source(model)
    pin = pin_of(model)
    listed = hub.snapshot(model.repo, pin.commit if pin else model.revision)
    return hub.left_to_fetch(listed, listed.matching(_patterns(model, pin)))


def verify(model: Model) -> list[str]:
    """Return the faults of a fetched model's files, found by size and SHA-256.

    Raises:
        ModelError: The model was not fetched yet.
    """
    pin = pin_of(model)
    if pin is None:
        raise ModelError(f"{model.name} was not fetched yet", f"`vremove models pull {model.name}`")
    faults = []
    for path, held in pin.files.items():
        file = hub.cached(model.repo, pin.commit, path)
        if file is None or not file.exists():
            faults.append(f"{path} is missing")
        elif file.stat().st_size != held.size or hub.sha256_of(file) != held.sha256:
            faults.append(f"{path} is damaged")
    return faults


def remove(model: Model, everything: dict[str, Model]) -> int:
    """Delete a model's files, except those that another model shares, and its pin.

    Broken-off transfers are deleted too, unless they may belong to another model of the same repository.

    Args:
        model: The model.
        everything: The catalogue.

    Returns:
        Bytes of freed disk space.
    """
    if not model.repo:
        return 0
    pin = pin_of(model)
    commit = pin.commit if pin else hub.cached_commit(model.repo, model.revision)
    others = [p for name, p in pins().items() if name != model.name and p.repo == model.repo and p.commit == commit]
    shared = {path for p in others for path in p.files}
    alone = all(m.repo != model.repo for m in everything.values() if m.name != model.name)
    freed = hub.delete_files(model.repo, commit, set(pin.files if pin else model.files) - shared, partial=alone)
    set_pin(model.name, None)
    return freed


def relock(model: Model, accepted: Collection[str], progress: Progress) -> Pin:
    """Fetch a model at the present commit of its revision, and pin it to that.

    Args:
        model: The model.
        accepted: Names of models and licences whose terms the user accepted.
        progress: Gets bytes done and bytes in all.

    Raises:
        ModelError: The files cannot be fetched, or the licence is not accepted.
    """
    check_licence(model, accepted)
    check_source(model)
    before = pin_of(model)
    agreed = {model.name} if before is not None and before.accepted else accepted
    listed = hub.snapshot(model.repo, model.revision)
    paths = hub.fetch(listed, listed.matching(model.files), progress)
    return _record(model, listed.commit, paths, agreed)


def is_allowed(model: Model, accepted: Collection[str]) -> bool:
    """Return whether a model's licence allows every use, or the user accepted it, now or at the first fetch."""
    if model.commercial or {model.name, model.licence} & set(accepted):
        return True
    pin = pin_of(model)
    return pin is not None and pin.accepted


def check_licence(model: Model, accepted: Collection[str]) -> None:
    """Check that a model's licence allows every use, or that the user accepted it, now or at the first fetch.

    Raises:
        ModelError: The licence limits the use and is not accepted.
    """
    if is_allowed(model, accepted):
        return
    raise ModelError(
        f"{model.name} is not free for every use (licence: {model.licence}, {model.licence_url})",
        f"if it is for yours, add --accept-license {model.name}",
    )


def check_source(model: Model) -> None:
    """Raise `ModelError` for a model that must be fetched by hand."""
    if not model.repo:
        raise ModelError(
            f"{model.name} is not on the Hub", f"fetch it from {model.manual}, then give --weights {model.name}=FILE"
        )


def _cached(model: Model, commit: str) -> Checkpoint | None:
    """A model at a commit if all its files are cached; None if its table has patterns, which only a pin resolves."""
    if any(_PATTERN & set(f) for f in model.files):
        return None
    found = {f: file for f in model.files if (file := hub.cached(model.repo, commit, f))}
    return _checkpoint(model, commit, found) if len(found) == len(set(model.files)) else None


def _patterns(model: Model, pin: Pin | None) -> tuple[str, ...]:
    """What to fetch of a model: the pinned files, and those that its table names since."""
    return tuple(dict.fromkeys((*(pin.files if pin else ()), *model.files)))


def _pinned(model: Model, pin: Pin) -> Checkpoint | None:
    """The checkpoint of a pin, if all its files are cached with their sizes."""
    if not all(any(fnmatch(path, pattern) for path in pin.files) for pattern in model.files):
        return None  # its table names more than was fetched
    found = {path: file for path in pin.files if (file := hub.cached(model.repo, pin.commit, path))}
    if len(found) < len(pin.files):
        return None
    if any(not file.exists() or file.stat().st_size != pin.files[path].size for path, file in found.items()):
        return None
    return _checkpoint(model, pin.commit, found)


def _record(model: Model, commit: str, paths: dict[str, Path], accepted: Collection[str]) -> Pin:
    files = {p: FileHash(f.stat().st_size, hub.sha256_of(f)) for p, f in paths.items()}
    agreed = not model.commercial and bool({model.name, model.licence} & set(accepted))
    pin = Pin(model.repo, model.revision, commit, files, accepted=agreed)
    try:
        set_pin(model.name, pin)
    except OSError as error:
        raise ModelError(
            f"{lock_path()} cannot be written ({error.strerror})", "give yourself the permission"
        ) from error
    return pin


def _checkpoint(model: Model, commit: str, files: Mapping[str, Path]) -> Checkpoint:
    """A model with its files on disk, by their paths in the repository: their folder is above any of them."""
    path, file = next(iter(files.items()))
    return Checkpoint(model, str(file.parents[len(Path(path).parts) - 1]), commit)
