"""Where networks run."""

from vremove_cli.errors import UsageError

CHOICES = ("auto", "cuda", "mps", "cpu")


def choose_device(asked: str) -> tuple[str, str]:
    """A device (cuda, mps, cpu) and why; raises `UsageError` for one that is not here."""
    import torch

    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if asked == "auto":
        best = next(name for name, there in here.items() if there)
        return best, {"cpu": "torch sees no GPU", "mps": "Metal"}.get(best) or torch.cuda.get_device_name(0)
    if asked not in here:
        raise UsageError(f"there is no device '{asked}'", f"choose one of {', '.join(CHOICES)}")
    if not here[asked]:
        raise UsageError(f"torch sees no {asked} device here", "choose auto, or see `vremove doctor`")
    return asked, "as asked"
