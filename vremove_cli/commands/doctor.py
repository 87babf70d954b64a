"""vremove doctor: what is installed, and what it can do here."""

from vremove_cli import __version__, settings, threads
from vremove_cli.commands.signature import Given, command, options_of_commands, reporting
from vremove_cli.console import format_bytes
from vremove_cli.errors import UsageError

_PACKAGES = ("av", "opencv-python-headless", "numpy", "torch", "diffusers", "transformers", "huggingface-hub")


@command(name="doctor", only=lambda o: o.name in ("json", "debug"))
def doctor(given: Given) -> None:
    """Check the installation: versions, encoders, device, models, settings files, disk.

    vremove doctor
    """
    with reporting(given) as console:
        facts = _installation()
        console.data(facts, "\n".join(f"{k}: {v}" for k, v in facts.items()))


def _installation() -> dict[str, str]:
    import platform
    import shutil

    from vremove_cli.media.encoder_context import library_versions, missing_encoders

    missing = missing_encoders()
    return {
        "vremove": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {threads.available()} cores",
        **{name: _version(name) for name in _PACKAGES},
        "ffmpeg libraries": library_versions(),
        "encoders": f"missing: {', '.join(missing)}" if missing else "all here",
        "device": _device(),
        "models here": ", ".join(_models()) or "none: `vremove models list` names some",
        "settings": _settings(),
        "free disk here": format_bytes(shutil.disk_usage(".").free),
    }


def _settings() -> str:
    """Return the path of the settings file that counts, or what is wrong with it."""
    try:
        settings.load(options_of_commands())
    except UsageError as error:
        return str(error)
    files = ", ".join(map(str, settings.files_read()))
    return files or f"none: no {settings.FILE} here or in {settings.config_folder()}"


def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return "missing: run `pip install vremove` again"


def _models() -> list[str]:
    from vremove_cli.weights import store
    from vremove_cli.weights.catalogue import catalogue

    return [name for name, model in catalogue().items() if model.repo and store.find_cached(model) is not None]


def _device() -> str:
    try:
        import torch
    except ImportError as error:
        return f"cpu (torch cannot be imported: {error})"
    if torch.cuda.is_available():
        return f"cuda ({torch.cuda.get_device_name(0)})"
    if torch.backends.mps.is_available():
        return "mps"
    return "cpu (torch sees no GPU); the plate and the flow tracker do not need one"
