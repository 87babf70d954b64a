"""The file system of a work folder: whether several machines can share the folder there, and what falls short."""

import contextlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

# Object stores mounted as folders: renaming copies there, and two writers of one name do not notice each other.
_OBJECT_STORES = ("s3fs", "gcsfuse", "goofys", "mountpoint-s3", "rclone", "blobfuse", "blobfuse2", "geesefs", "ossfs")
_SMB = ("cifs", "smb3", "smbfs", "smb2")
_NFS = ("nfs", "nfs4")
_OLD = 30  # seconds that a mount may remember a heartbeat; half of those after which a lease counts as abandoned


@dataclass(frozen=True)
class Mount:
    """A mounted file system.

    Attributes:
        type: Its type, such as ext4, nfs4, cifs or fuse.sshfs.
        options: Its options.
    """

    type: str
    options: tuple[str, ...]

    def seconds(self, option: str) -> float:
        """Return the value of an option such as actimeo=30; 0 if it is not given."""
        values = [value for name, _, value in (o.partition("=") for o in self.options) if name == option]
        return float(values[-1]) if values and values[-1].isdecimal() else 0.0


def share_notes(folder: Path) -> list[str]:
    """Return what a user should know before several machines share a work folder.

    Args:
        folder: The work folder; it must exist.

    Returns:
        Sentences with what to do; none for a local disk, nor for a share where nothing is wrong.
    """
    mount = mount_of(folder)
    if mount is None:
        return []
    short = _shortcoming(mount)
    if short:
        return [f"the work folder is on {mount.type}, {short}"]
    if not links_work(folder):
        return [
            f"the work folder is on {mount.type}, which has no hard links, so that leases are files that must be new: "
            "for several machines choose a share that refuses the second such file, as NFS and SMB do"
        ]
    return []


def mount_of(folder: Path) -> Mount | None:
    """Return the file system that a folder lies on; None where the system does not say."""
    import psutil

    try:
        mounts = psutil.disk_partitions(all=True)
    except (OSError, RuntimeError):
        return None
    place = folder.resolve()
    over = [m for m in mounts if place.is_relative_to(m.mountpoint)]
    if not over:
        return None
    deepest = max(len(Path(m.mountpoint).parts) for m in over)
    last = [m for m in over if len(Path(m.mountpoint).parts) == deepest][-1]  # it hides those mounted there before it
    return Mount(last.fstype, tuple(last.opts.split(",")))


def links_work(folder: Path) -> bool:
    """Return whether files can have hard links in a folder; True if nothing can be written there."""
    stem = f".now.{os.getpid()}.{secrets.randbits(64)}"
    first, second = folder / stem, folder / f"{stem}.part"
    try:
        first.touch()
        os.link(first, second)
    except OSError:
        return not first.exists()
    finally:
        for path in (first, second):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
    return True


def _shortcoming(mount: Mount) -> str:
    """Return why a kind of share is unfit for several machines, and what to do, after "on TYPE,"; "" if it is fit."""
    name = mount.type.removeprefix("fuse.")
    if name in _OBJECT_STORES:
        return "which lets two machines take the same task: use one worker there, or a folder on NFS or SMB"
    if name == "sshfs":
        return "which shows other machines' files up to 20 seconds late: mount it with -o dcache_timeout=1, or use NFS"
    if name in _NFS and "nocto" in mount.options:
        return _shows_old("nocto", "without that")
    if name in _SMB and "cache=loose" in mount.options:
        return _shows_old("cache=loose", "with cache=strict")
    if name in _SMB and max(mount.seconds("actimeo"), mount.seconds("acregmax")) > _OLD:
        return _shows_old(f"an actimeo of more than {_OLD}", "with actimeo=1")
    return ""


def _shows_old(option: str, remedy: str) -> str:
    return f"mounted with {option}, so that a living worker can be taken for dead: mount it {remedy}"
