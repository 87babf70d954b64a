"""Strict loading of checkpoints: every key and shape must fit, and no code from a file is run."""

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vremove_cli.errors import ModelError

if TYPE_CHECKING:
    import torch

    State = Mapping[str, torch.Tensor]

_WRAPPERS = ("model", "state_dict")  # keys under which training code saves the tensors
_MAX_LISTED = 5  # faults in an error


def read_state(path: str) -> "dict[str, torch.Tensor]":
    """Return the tensors of a safetensors file, or of a pickle that holds nothing else, on the CPU.

    Raises:
        ModelError: The file is missing, damaged, or holds anything but named tensors.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = Path(path)
    if not file.is_file():
        raise ModelError(f"there is no checkpoint {path}", "check the path given with --weights")
    try:
        if file.suffix == ".safetensors":
            return load_file(file)  # which maps the file into memory
        state = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except (SafetensorError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise ModelError(f"{path} is damaged or no checkpoint", "fetch it again") from error
    except Exception as error:  # torch refuses a pickle that would run code
        raise ModelError(f"{path} holds more than tensors, and is not opened", "convert it to safetensors") from error
    for name in _WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(name), Mapping):
            state = state[name]
    if not isinstance(state, Mapping) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise ModelError(f"{path} is no checkpoint", "give a file of named tensors")
    return dict(state)


def load_strict(model: "torch.nn.Module", state: "State", path: str) -> None:
    """Assign tensors to a model.

    Args:
        model: The model; may be on the meta device.
        state: Tensors by the model's own names.
        path: File to name in an error.

    Raises:
        ModelError: A tensor is missing, unknown or misshapen.
    """
    own = model.state_dict()
    faults = [f"{k} is missing" for k in own if k not in state]
    faults += [f"{k} is unknown" for k in state if k not in own]
    both = [k for k in own if k in state]
    faults += [
        f"{k} is {tuple(state[k].shape)} and not {tuple(own[k].shape)}" for k in both if state[k].shape != own[k].shape
    ]
    _refuse(faults, path)
    model.load_state_dict(state, assign=True)


def from_folder(model_class: Any, folder: str, dtype: "torch.dtype", variant: str | None = None) -> Any:
    """Return a transformers model from a folder with config.json and safetensors, on the CPU.

    Args:
        model_class: A class of transformers with `from_pretrained`.
        folder: Folder with the layout of the Hub.
        dtype: Type of the weights.
        variant: Word in the names of the files with weights, such as "fp16".

    Raises:
        ModelError: A file cannot be read, or a tensor is missing, unknown or misshapen.
    """
    with explain_errors(model_class.__name__, folder):
        model, info = model_class.from_pretrained(
            folder,
            dtype=dtype,
            variant=variant,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    faults = [f"{k} is missing" for k in sorted(info["missing_keys"])]
    faults += [f"{k} is unknown" for k in sorted(info["unexpected_keys"])]
    faults += [f"{k[0]} is {tuple(k[1])} and not {tuple(k[2])}" for k in sorted(info["mismatched_keys"])]
    _refuse(faults, folder)
    return model


@contextmanager
def explain_errors(name: str, folder: str) -> Iterator[None]:
    """Turn an exception that transformers raises over the files in a folder into a `ModelError`.

    Args:
        name: What is loaded, for the error.
        folder: Folder that it is loaded from.
    """
    try:
        yield
    except MemoryError:
        raise
    except ImportError as error:
        raise ModelError(
            f"{name} needs a package that is not installed ({_first_line(error)})", "install it beside vremove"
        ) from error
    except Exception as error:
        raise ModelError(
            f"the weights in {folder} cannot be read ({_first_line(error)})",
            "`vremove models verify` finds what is wrong",
        ) from error


def _refuse(faults: list[str], path: str) -> None:
    if faults:
        more = f" and {len(faults) - _MAX_LISTED} more" if len(faults) > _MAX_LISTED else ""
        raise ModelError(
            f"the weights in {path} do not fit: {'; '.join(faults[:_MAX_LISTED])}{more}",
            "check that they are of this model, with `vremove models verify` if they were fetched",
        )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].strip().rstrip(".:")
