"""vremove doctor: what is installed, and what it can do here."""

from typing import Any

import typer

from vremove_cli import __version__, settings, threads
from vremove_cli.commands.signature import Given, command, options_of_commands, reporting
from vremove_cli.console import format_bytes
from vremove_cli.errors import ExitCode, UsageError

_PACKAGES = ("av", "opencv-python-headless", "numpy", "torch", "diffusers", "transformers", "huggingface-hub")
_OPTIONAL = ("sam2", "torchvision")  # for --sam2-engine sam2, and for EdgeTAM


@command(name="doctor", only=lambda o: o.name in ("json", "debug"))
def doctor(given: Given) -> None:
    """Check the installation: versions, encoders, device, models, settings files, disk.

    vremove doctor
    """
    with reporting(given) as console:
        facts = _installation()
        console.data("doctor", facts, _text(facts))
        if not facts["ok"]:
            raise typer.Exit(int(ExitCode.ERROR))


def _installation() -> dict[str, Any]:
    """Return what is installed, as JSON values; `problems` has a sentence for everything that is not well."""
    import platform
    import shutil

    from vremove_cli.job.estimate import memory_here
    from vremove_cli.media import hardware
    from vremove_cli.media.encoder_context import library_versions, missing_encoders

    missing = list(missing_encoders())
    packages = {name: _version(name) for name in _PACKAGES}
    device = _device()
    file, wrong = _settings()
    absent = [name for name, version in packages.items() if version is None]
    problems = [f"{name} is missing: run `pip install vremove` again" for name in absent]
    problems += [f"FFmpeg has no encoder {name}: install PyAV from its wheel" for name in missing]
    problems += [*device["broken"], *filter(None, [wrong])]
    return {
        "ok": not problems,
        "problems": problems,
        "vremove": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": threads.available(),
        "memory": memory_here(),
        "free_disk": shutil.disk_usage(".").free,
        "packages": packages,
        "optional_packages": {name: _version(name) for name in _OPTIONAL},
        "ffmpeg": library_versions(),
        "missing_encoders": missing,
        "hardware_encoders": hardware.working(),
        "device": device["device"],
        "device_detail": device["detail"],
        "gpu_memory": device["memory"],
        "gpu_free": device["free"],
        "network_type": device["type"],
        "models": _models(),
        "settings": file,
    }


def _text(facts: dict[str, Any]) -> str:
    """Return the facts as lines for a person."""
    where = f"none: no {settings.FILE} here or in {settings.config_folder()}"
    lines = {
        "vremove": facts["vremove"],
        "python": facts["python"],
        "system": f"{facts['system']}, {facts['cores']} cores, {format_bytes(facts['memory'])} memory",
        **{name: version or "missing" for name, version in facts["packages"].items()},
        **{name: version or "none (optional)" for name, version in facts["optional_packages"].items()},
        "ffmpeg libraries": facts["ffmpeg"],
        "encoders": f"missing: {', '.join(facts['missing_encoders'])}" if facts["missing_encoders"] else "all here",
        "hardware encoders": ", ".join(facts["hardware_encoders"]) or "none",
        "device": f"{facts['device']} ({facts['device_detail']})",
        "GPU memory": _gpu_memory(facts),
        "networks run in": _network_type(facts),
        "models here": ", ".join(facts["models"]) or "none: `vremove models list` names some",
        "settings": facts["settings"] or where,
        "free disk here": format_bytes(facts["free_disk"]),
        "problems": "; ".join(facts["problems"]) or "none",
    }
    return "\n".join(f"{k}: {v}" for k, v in lines.items())


def _gpu_memory(facts: dict[str, Any]) -> str:
    """Return the memory of the GPU in words."""
    if facts["gpu_memory"] is None:
        return "none"
    return f"{format_bytes(facts['gpu_memory'])}, {format_bytes(facts['gpu_free'])} free"


def _network_type(facts: dict[str, Any]) -> str:
    """Return the type that networks run in, and what follows where a GPU of NVIDIA or AMD lacks bfloat16."""
    lacking = facts["device"] == "cuda" and facts["network_type"] == "float32"
    return f"{facts['network_type']}{', twice the memory: this GPU has no bfloat16' if lacking else ''}"


def _settings() -> tuple[str | None, str]:
    """Return the path of the settings file that counts, and what is wrong with it."""
    wrong = ""
    try:
        settings.load(options_of_commands())
    except UsageError as error:
        wrong = str(error)
    return next((str(path) for path in settings.files_read()), None), wrong


def _version(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _models() -> list[str]:
    from vremove_cli.weights import store
    from vremove_cli.weights.catalogue import catalogue

    return [name for name, model in catalogue().items() if model.repo and store.find_cached(model) is not None]


def _device() -> dict[str, Any]:
    """Return the device that networks run on, what is known of it, and what is wrong with torch."""
    try:
        import torch
    except ImportError as error:
        broken = [f"torch cannot be imported ({error}): install it again"]
        return {"device": "cpu", "detail": "no torch", "memory": None, "free": None, "type": "none", "broken": broken}
    from vremove_cli.networks import devices, versions

    device, why = devices.choose_device("auto")
    detail = f"{why}; the plate and the flow tracker do not need one" if device == "cpu" else why
    if device == "cuda":
        major, minor = torch.cuda.get_device_capability()
        detail += " (ROCm)" if torch.version.hip else f", compute capability {major}.{minor}"
    unseen = versions.unseen_gpu(torch.__version__, torch.version.cuda, device)
    unfit = versions.unfit_torchvision(torch.__version__)
    return {
        "device": device,
        "detail": detail,
        "memory": None if device == "cpu" else int(devices.all_bytes(device)),
        "free": None if device == "cpu" else int(devices.free_bytes(device)),
        "type": str(devices.network_dtype(device)).removeprefix("torch."),
        "broken": [*versions.installed_faults(device), *filter(None, [unseen, unfit])],
    }
