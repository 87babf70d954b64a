"""The versions that a job is planned with: machines with others would make another clip."""

from collections.abc import Iterable
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING

from vremove_cli import __version__
from vremove_cli.errors import VremoveError

if TYPE_CHECKING:
    from vremove_cli.job.plan import Plan

_OWN = "vremove"
_OPENCV = ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python")
# What computes, decodes or encodes, by the name that a plan keeps, with the packages that may provide it.
_PACKAGES = {name: (name,) for name in ("torch", "diffusers", "transformers", "numpy")} | {
    "opencv": _OPENCV, "av": ("av",),
}  # fmt: skip
NAMES = (_OWN, *_PACKAGES)
_ABSENT = "none"


def versions_here(names: Iterable[str] = NAMES) -> dict[str, str]:
    """Return the versions of this machine, nothing imported: the public part, so that all builds of a version are one.

    Args:
        names: What is asked for: names of `NAMES`, and of other packages.
    """
    return {name: __version__ if name == _OWN else _installed(name)[1] for name in names}


def _installed(name: str) -> tuple[str, str]:
    """Return the package that provides something here, and its version."""
    packages = _PACKAGES.get(name, (name,))
    for package in packages:
        found = version(package)
        if found is not None:
            return package, found.partition("+")[0]
    return packages[0], _ABSENT


@cache
def version(package: str) -> str | None:
    """Return a package's version, None if it is not installed: looked up once, for that takes milliseconds."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def differences(plan: "Plan") -> str:
    """Return how this machine's versions differ from those of a plan, in words; "" if they do not."""
    here = versions_here(plan.versions)
    other = [name for name, planned in plan.versions.items() if here[name] != planned]
    if not other:
        return ""
    planned, own = (", ".join(f"{name} {found[name]}" for name in other) for found in (plan.versions, here))
    return f"the job was planned with {planned}, and this machine has {own}"


def check_versions(plan: "Plan", *, allow_other: bool) -> str:
    """Check that this machine has the versions that a job was planned with.

    Args:
        plan: The plan.
        allow_other: Whether it may have others.

    Returns:
        What differs, for a note; "" if nothing does.

    Raises:
        VremoveError: A version differs.
    """
    found = differences(plan)
    if not found or allow_other:
        return found and f"{found}: results may differ"
    here = versions_here(plan.versions)
    wanted = [
        f"{_installed(name)[0]}=={planned}"
        for name, planned in plan.versions.items()
        if here[name] != planned and planned != _ABSENT
    ]
    advice = f"run `pip install {' '.join(wanted)}` here, or" if wanted else "remove that here, or"
    raise VremoveError(found, f"{advice} add --allow-other-version")
