"""SAM 2 networks built by the authors' own `sam2` package, from a configuration of the user's or of the package.

A configuration is a YAML file as the authors write them: a table `model`, or a training configuration with
`trainer.model`, where a table with `_target_` stands for an object of that class. Only classes of networks are made, so
that a file that came with some weights cannot run anything else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vremove_cli.errors import ModelError
from vremove_cli.networks.sam2 import is_original, original_state, size_of, unknown_size
from vremove_cli.weights.load import load_strict, read_state

if TYPE_CHECKING:
    import torch

    State = Mapping[str, torch.Tensor]

PACKAGE = "sam2"
_CONFIGS, _WEIGHTS = (".yaml", ".yml"), (".pt", ".pth", ".safetensors")  # endings
# Name of the package's configuration, by width and number of blocks of the image encoder.
_SIZES = {(96, 12): "t", (96, 16): "s", (112, 24): "b+", (144, 48): "l"}
_ONLY_IN_2_1 = ("no_obj_embed_spatial", "occlusion_spatial_embedding_parameter")  # a tensor's two names
# What the authors' builder adds to a configuration for inference; a file's own values count more.
_INFERENCE = {
    "binarize_mask_from_pts_for_mem_enc": True,
    "sam_mask_decoder_extra_args": {
        "dynamic_multimask_via_stability": True,
        "dynamic_multimask_stability_delta": 0.05,
        "dynamic_multimask_stability_thresh": 0.98,
    },
}


@dataclass(frozen=True)
class PackageFiles:
    """The files that a network is made from.

    Attributes:
        weights: Checkpoint, with original names or those of transformers.
        config: The user's configuration; None for that of the package, by the checkpoint's size.
    """

    weights: Path
    config: Path | None


def check_installed() -> None:
    """Raise `ModelError` unless the package is here; it is not imported."""
    if find_spec(PACKAGE) is None or find_spec("hydra") is None:
        raise ModelError(
            "--sam2-engine sam2 needs the sam2 package, which is not installed here",
            "install it with `pip install 'vremove[sam2]'`; beside a CPU build of torch, as docs/masks.md says",
        )


def files_in(path: str) -> PackageFiles:
    """Return the files at a path that `--weights` or the cache gave.

    Args:
        path: A checkpoint, beside which a YAML file of the same stem may lie; or a folder with a checkpoint and at most
            one YAML file. Of several checkpoints in a folder that of the YAML's stem counts, or the only .pt file.

    Raises:
        ModelError: A folder holds no checkpoint, or it is not clear which file counts.
    """
    given = Path(path)
    if not given.is_dir():
        return PackageFiles(given, config_beside(given))
    inside = sorted(p for p in given.iterdir() if p.is_file())
    configs = [p for p in inside if p.suffix in _CONFIGS]
    weights = [p for p in inside if p.suffix in _WEIGHTS]
    if len(configs) > 1:
        raise ModelError(f"{path} holds {len(configs)} YAML files", "leave one there, that of the weights")
    config = configs[0] if configs else None
    for chosen in (
        weights,
        [p for p in weights if config is not None and p.stem == config.stem],
        [p for p in weights if p.suffix == ".pt"],
    ):
        if len(chosen) == 1:
            return PackageFiles(chosen[0], config)
    raise ModelError(f"{path} holds {len(weights)} checkpoints", "name the one with --weights NAME=FILE")


def config_beside(weights: Path) -> Path | None:
    """Return the YAML file of the same stem beside a checkpoint, if there is one."""
    return next((p for s in _CONFIGS if (p := weights.with_suffix(s)).is_file()), None)


def load_predictor(path: str, device: str) -> Any:
    """Return a `SAM2VideoPredictor` in float32, ready to run.

    Args:
        path: See `files_in`.
        device: cuda, mps or cpu.

    Raises:
        ModelError: The package is not here, the configuration makes no SAM 2, or the weights do not fit.
    """
    check_installed()
    files = files_in(path)
    state = read_state(str(files.weights))
    config = files.config or _stock_config(state)
    made = _make_predictor(_model_table(config), config)
    if not is_original(state):
        state = original_state(state, made.state_dict())
    load_strict(made, {name: tensor.float() for name, tensor in state.items()}, str(files.weights))
    return made.to(device).eval()


def _stock_config(state: "State") -> Path:
    """Return the package's own configuration for a checkpoint of SAM 2 or 2.1."""
    import sam2

    size = _SIZES.get(size_of(state))
    if size is None:
        error = unknown_size(state)
        raise ModelError(error.problem, "put its configuration beside it, as a YAML file of the same name")
    version = "sam2.1" if any(name in state for name in _ONLY_IN_2_1) else "sam2"
    return Path(sam2.__path__[0]) / "configs" / version / f"{version}_hiera_{size}.yaml"


def _model_table(config: Path) -> dict[str, Any]:
    """Return the table of the model in a configuration file, without what only its training uses.

    Raises:
        ModelError: The file cannot be read, or has no such table.
    """
    from omegaconf import OmegaConf
    from sam2.sam2_video_predictor import SAM2VideoPredictor

    try:
        read = OmegaConf.load(config)
        training = "trainer" in read
        table = OmegaConf.to_container((read.trainer if training else read).model, resolve=True)
        if not isinstance(table, dict):
            raise TypeError("no table `model`")
    except Exception as error:
        raise ModelError(
            f"{config} is no configuration of SAM 2 ({_first_line(error)})", "give a YAML file with a table `model`"
        ) from error
    if training:
        known = {n for c in SAM2VideoPredictor.__mro__[:2] for n in signature(c.__init__).parameters}
        table = {name: value for name, value in table.items() if name in known}
    extra = "sam_mask_decoder_extra_args"
    table = {**_INFERENCE, **table, extra: {**_INFERENCE[extra], **(table.get(extra) or {})}}  # type: ignore[dict-item]
    return {str(name): value for name, value in table.items()}


def _make_predictor(table: dict[str, Any], config: Path) -> Any:
    """Return the predictor that a table describes, with random weights.

    Raises:
        ModelError: A class or an argument in the table is wrong.
    """
    from sam2.sam2_video_predictor import SAM2VideoPredictor

    arguments = {name: value for name, value in table.items() if name != "_target_"}
    try:
        return SAM2VideoPredictor(**{name: _made(value) for name, value in arguments.items()})
    except Exception as error:
        raise ModelError(f"{config} does not make a SAM 2 ({_first_line(error)})", "check the file") from error


def _made(value: Any) -> Any:
    """Return a value of a configuration with its tables of classes made into objects, the inner ones first."""
    if isinstance(value, list):
        return [_made(item) for item in value]
    if not isinstance(value, dict):
        return value
    inner = {str(name): _made(item) for name, item in value.items() if name != "_target_"}
    return _network_class(str(value["_target_"]))(**inner) if "_target_" in value else inner


def _network_class(target: str) -> Any:
    """Return a class of torch or of the package by its full name.

    Raises:
        ValueError: It is no class of networks, or from elsewhere.
    """
    import torch

    module, _, name = target.rpartition(".")
    if module.partition(".")[0] not in (PACKAGE, "torch"):
        raise ValueError(f"{target} is not of the sam2 package")
    found = getattr(import_module(module), name, None)
    if not (isinstance(found, type) and issubclass(found, torch.nn.Module)):
        raise ValueError(f"{target} is no network")
    return found


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].strip().rstrip(".:")
