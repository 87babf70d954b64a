"""The device that networks run on."""

from vremove_cli.errors import UsageError

CHOICES = ("auto", "cuda", "mps", "cpu")


def choose_device(requested: str) -> tuple[str, str]:
    """Return a device of this machine (cuda, mps or cpu) and the reason for it.

    Args:
        requested: One of `CHOICES`; auto takes the first that is available.

    Raises:
        UsageError: The device is unknown, or this machine lacks it.
    """
    import torch

    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if requested == "auto":
        best = next(name for name, is_available in available.items() if is_available)
        return best, {"cpu": "torch sees no GPU", "mps": "Metal"}.get(best) or torch.cuda.get_device_name(0)
    if requested not in available:
        raise UsageError(f"there is no device '{requested}'", f"choose one of {', '.join(CHOICES)}")
    if not available[requested]:
        raise UsageError(f"torch sees no {requested} device here", "choose auto, or see `vremove doctor`")
    return requested, "as asked"
