"""The Hub and its cache on this machine: listing a repository, finding cached files, fetching missing ones.

The cache, HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE are huggingface_hub's. The transfer of a file
is this project's: it resumes where it broke off, also after a kill, and a file enters the cache only with the right
hash. (The library's own download starts a file again in each process.)
"""

import errno
import hashlib
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from vremove_cli.errors import ModelError

_BLOCK = 1 << 20  # bytes hashed at once
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")  # SHA-1 and SHA-256; they become names in the cache
_DISK_RESERVE = 64 << 20  # bytes of the disk that stay free


@dataclass(frozen=True)
class RepoFile:
    """A file in a repository.

    Attributes:
        size: Bytes.
        sha256: SHA-256 of a large file; None for a small one.
        blob_id: git's hash of the file.
    """

    size: int
    sha256: str | None
    blob_id: str

    @property
    def etag(self) -> str:
        """The name of the file's content in the cache."""
        return self.sha256 or self.blob_id


@dataclass(frozen=True)
class RepoSnapshot:
    """A repository at a commit."""

    repo: str
    commit: str
    files: dict[str, RepoFile]

    def matching(self, patterns: tuple[str, ...]) -> dict[str, RepoFile]:
        """Return the files that match any of some patterns.

        Args:
            patterns: Patterns with * and ?.

        Raises:
            ModelError: A pattern matches no file.
        """
        found: dict[str, RepoFile] = {}
        for pattern in patterns:
            matches = {path: f for path, f in self.files.items() if fnmatch(path, pattern)}
            if not matches:
                raise ModelError(
                    f"{self.repo} at {self.commit[:8]} holds no {pattern}",
                    "its layout has changed: give another revision or other files in your own models.toml",
                )
            found |= matches
        return found


class Downloads:
    """The progress of a transfer of some files.

    Args:
        total: Bytes in all.
        progress: Gets bytes done and bytes in all.
    """

    def __init__(self, total: int, progress: Callable[[int, int], None]) -> None:
        self.total, self.done, self._progress = total, 0, progress

    def add(self, size: int) -> None:
        """Report bytes that were transferred, or, with a negative size, that will be transferred again."""
        self.done += size
        self._progress(self.done, self.total)


class _Counted:
    """A file that reports how much is written to it."""

    def __init__(self, file: BinaryIO, downloads: Downloads) -> None:
        self._file, self._downloads = file, downloads

    def write(self, data: bytes) -> int:
        self._downloads.add(len(data))
        return self._file.write(data)

    def seek(self, position: int) -> int:
        self._downloads.add(position - self._file.tell())
        return self._file.seek(position)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def offline() -> bool:
    """Return whether HF_HUB_OFFLINE forbids network access."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def snapshot(repo: str, revision: str) -> RepoSnapshot:
    """Return the files of a repository at a revision.

    Args:
        repo: Owner/name.
        revision: Branch, tag or commit.

    Raises:
        ModelError: The Hub cannot be reached, or refuses.
    """
    from huggingface_hub import HfApi

    refuse_offline(repo)
    try:
        info = HfApi().model_info(repo, revision=revision, files_metadata=True, timeout=30)
    except Exception as error:
        raise hub_error(error, repo, revision) from error
    listed = [
        (s.rfilename, RepoFile(s.size or 0, s.lfs.sha256 if s.lfs else None, str(s.blob_id)))
        for s in info.siblings or ()
    ]
    for name, file in listed:
        if not (_is_inside(name) and _HASH.fullmatch(str(file.etag)) and isinstance(file.size, int) and file.size >= 0):
            raise ModelError(f"{_endpoint()} lists a file of {repo} that cannot be: {name!r}", "choose another mirror")
    if not _HASH.fullmatch(str(info.sha)):
        raise ModelError(f"{_endpoint()} gives no commit for {repo}", "choose another mirror")
    return RepoSnapshot(repo, str(info.sha), dict(listed))


def _is_inside(name: str) -> bool:
    """Return whether a listed name is the path of a file below its folder: it becomes one in the cache."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and not {"..", "."} & set(name.split("/")) and "\\" not in name


def _endpoint() -> str:
    """Return the Hub's address, without the user and the password that it may hold."""
    from huggingface_hub import constants

    return re.sub(r"//[^/@]*@", "//", constants.ENDPOINT)


def cached(repo: str, commit: str, path: str) -> Path | None:
    """Return the path of a file in the cache; None if it is not there.

    Args:
        repo: Owner/name.
        commit: Commit of the repository.
        path: Path in the repository.
    """
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repo, path, revision=commit)
    return Path(found) if isinstance(found, str) else None


def cached_commit(repo: str, revision: str) -> str | None:
    """Return the commit of a revision when any program last fetched it; None if none did.

    Args:
        repo: Owner/name.
        revision: Branch, tag or commit.
    """
    ref = _folder(repo) / "refs" / revision
    if ref.is_file():
        return ref.read_text(encoding="utf-8").strip()
    return revision if (_folder(repo) / "snapshots" / revision).is_dir() else None


def fetch(listed: RepoSnapshot, paths: dict[str, RepoFile], progress: Callable[[int, int], None]) -> dict[str, Path]:
    """Fetch files into the cache, those that are missing or damaged there.

    Args:
        listed: The repository.
        paths: Its files to fetch, by path in the repository.
        progress: Gets bytes done and bytes in all.

    Returns:
        Paths in the cache by path in the repository.

    Raises:
        ModelError: The transfer failed, the disk is full, or a hash is wrong.
    """
    found = {p: cached(listed.repo, listed.commit, p) for p in paths}
    for path, file in found.items():
        if file is not None and (not _whole(file, paths[path]) or _hash(file, paths[path]) != paths[path].etag):
            file.resolve().unlink(missing_ok=True)
            found[path] = None
    missing = {p: f for p, f in paths.items() if found[p] is None}
    if missing:
        refuse_offline(listed.repo)
    _check_disk(listed.repo, missing)
    downloads = Downloads(sum(f.size for f in missing.values()), progress)
    try:
        for path, remote in missing.items():
            found[path] = _download(listed, path, remote, downloads)
    except ModelError:
        raise
    except Exception as error:
        raise hub_error(error, listed.repo, listed.commit) from error
    return {p: f for p, f in found.items() if f is not None}


def left_to_fetch(listed: RepoSnapshot, paths: dict[str, RepoFile]) -> int:
    """Return the bytes that `fetch` would transfer, less what broken-off transfers left.

    Args:
        listed: The repository.
        paths: Its files, by path in the repository.
    """
    missing = {p: f for p, f in paths.items() if not _whole(cached(listed.repo, listed.commit, p), f)}
    return sum(f.size - _resumed(listed.repo, f) for f in missing.values())


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    return _digest(hashlib.sha256(), path)


def delete_files(repo: str, commit: str | None, paths: set[str], *, partial: bool) -> int:
    """Delete files from the cache, and the folder of the repository if no file is left in it.

    Args:
        repo: Owner/name.
        commit: Commit of the files; None if none was fetched.
        paths: Paths in the repository.
        partial: Whether to delete what broken-off transfers left.

    Returns:
        Bytes of freed disk space.
    """
    folder, freed = _folder(repo), 0
    for path in paths if commit else ():
        pointer = folder / "snapshots" / str(commit) / path
        if not pointer.exists():
            continue
        content = pointer.resolve()
        freed += content.stat().st_size
        pointer.unlink()
        if content != pointer and not _linked(repo, content):
            content.unlink(missing_ok=True)
    for rest in (folder / "blobs").glob("*.vremove*") if partial else ():
        freed += rest.stat().st_size
        rest.unlink(missing_ok=True)
    left = any(p.is_symlink() or p.is_file() for p in (folder / "snapshots").rglob("*"))
    if folder.is_dir() and not left and not any((folder / "blobs").glob("*.vremove*")):
        shutil.rmtree(folder, ignore_errors=True)
    return freed


def refuse_offline(repo: str) -> None:
    """Check that network access is allowed.

    Raises:
        ModelError: HF_HUB_OFFLINE is set.
    """
    if offline():
        raise ModelError(f"{repo} is not cached, and HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE to fetch it")


def hub_error(error: Exception, repo: str, revision: str) -> ModelError:
    """Return a `ModelError` for an exception of huggingface_hub or of the disk.

    Args:
        error: The exception.
        repo: Owner/name.
        revision: Branch, tag or commit.
    """
    from huggingface_hub import constants
    from huggingface_hub import errors as hub

    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ModelError(
            "the disk is full", f"free some space in {constants.HF_HUB_CACHE} or set HF_HOME; pull again to go on"
        )
    if isinstance(error, OSError) and error.errno is not None and error.filename:
        return ModelError(f"{error.filename} cannot be written ({error.strerror})", "set HF_HOME to a folder of yours")
    if isinstance(error, hub.GatedRepoError):
        page = f"{_endpoint()}/{repo}"
        return ModelError(f"{repo} is gated", f"accept its terms at {page}, then set HF_TOKEN or run `hf auth login`")
    if isinstance(error, hub.RevisionNotFoundError):
        return ModelError(f"{repo} has no revision {revision}", "`vremove models lock NAME` takes what it has now")
    if isinstance(error, hub.RepositoryNotFoundError):
        return ModelError(
            f"{repo} does not exist, or is private", "check `repo` in models.toml; set HF_TOKEN if private"
        )
    if isinstance(error, hub.EntryNotFoundError) and not isinstance(error, hub.LocalEntryNotFoundError):
        return ModelError(f"{repo} lacks a file that it lists", "try again later")
    if isinstance(error, hub.HfHubHTTPError):
        status = error.response.status_code
        return ModelError(f"{_endpoint()} answers with an error ({status})", "try again later: received data is kept")
    return ModelError(
        f"the connection to {_endpoint()} failed ({type(error).__name__})",
        "check the network and try again: received data is kept",
    )


def _download(listed: RepoSnapshot, path: str, remote: RepoFile, downloads: Downloads) -> Path:
    """Fetch one file, from where an earlier transfer broke off, check its hash, and link it into the cache."""
    from filelock import FileLock
    from huggingface_hub import hf_hub_download, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers, disable_progress_bars  # type: ignore[attr-defined]

    disable_progress_bars()
    blob = _folder(listed.repo) / "blobs" / remote.etag
    blob.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(listed.repo, remote)
    with FileLock(partial.with_name(f"{partial.name}.lock")):
        if not blob.exists():
            resumed = min(partial.stat().st_size, remote.size) if partial.exists() else 0
            downloads.add(resumed)
            with partial.open("ab") as file:
                file.truncate(resumed)
                http_get(
                    hf_hub_url(listed.repo, path, revision=listed.commit),
                    _Counted(file, downloads),  # type: ignore[arg-type]  # has the methods that http_get calls
                    resume_size=resumed,
                    headers=build_hf_headers(),
                    expected_size=remote.size,
                )
            _check_hash(partial, remote, f"{listed.repo}/{path}")
            partial.replace(blob)
    partial.with_name(f"{partial.name}.lock").unlink(missing_ok=True)
    return Path(hf_hub_download(listed.repo, path, revision=listed.commit))


def _whole(file: Path | None, remote: RepoFile) -> bool:
    """Whether a file is cached with its size."""
    return file is not None and file.stat().st_size == remote.size


def _check_hash(file: Path, remote: RepoFile, name: str) -> None:
    found = _hash(file, remote)
    if found != remote.etag:
        file.unlink(missing_ok=True)
        raise ModelError(f"{name} arrived damaged (hash {found[:12]} instead of {remote.etag[:12]})", "pull it again")


def _hash(file: Path, remote: RepoFile) -> str:
    """A file's hash, of the kind that the Hub lists for it."""
    if remote.sha256:
        return sha256_of(file)
    # git hashes a blob's length and its content.
    return _digest(hashlib.sha1(f"blob {file.stat().st_size}\0".encode()), file)


def _check_disk(repo: str, files: dict[str, RepoFile]) -> None:
    need = sum(f.size - _resumed(repo, f) for f in files.values())
    place = next(p for p in (_folder(repo), *_folder(repo).parents) if p.exists())
    free = shutil.disk_usage(place).free
    if need and free < need + _DISK_RESERVE:
        raise ModelError(
            f"{place} has {free >> 20} MB free and {(need + _DISK_RESERVE) >> 20} MB are needed",
            "free some space, or set HF_HOME to another disk",
        )


def _folder(repo: str) -> Path:
    """The folder of a repository in the cache."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type="model")


def _partial(repo: str, remote: RepoFile) -> Path:
    return _folder(repo) / "blobs" / f"{remote.etag}.vremove"


def _resumed(repo: str, remote: RepoFile) -> int:
    """Bytes of a file that a broken-off transfer left."""
    partial = _partial(repo, remote)
    return min(partial.stat().st_size, remote.size) if partial.exists() else 0


def _linked(repo: str, content: Path) -> bool:
    """Whether a snapshot still links to a blob."""
    return any(p.is_symlink() and p.resolve() == content for p in (_folder(repo) / "snapshots").rglob("*"))


def _digest(digest: Any, path: Path) -> str:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return str(digest.hexdigest())
