"""Reading checkpoints strictly: every key must fit, and nothing in a file is ever run."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vremove_cli.errors import ModelError

_WRAPPERS = ("model", "state_dict")
_SHOWN = 5


def read_state(path: str) -> dict[str, Any]:
    """The tensors of a safetensors file, or of a pickle that holds nothing else; raises `ModelError`."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = Path(path)
    if not file.is_file():
        raise ModelError(f"there is no checkpoint {path}", "check the path given with --weights")
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise ModelError(f"{path} is damaged or no checkpoint", "fetch it again") from error
    except Exception as error:  # torch's own complaint about a pickle that wants to run code
        raise ModelError(f"{path} holds more than tensors, and is not opened", "convert it to safetensors") from error
    for name in _WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(name), Mapping):
            state = state[name]
    if not isinstance(state, Mapping) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise ModelError(f"{path} is no checkpoint", "give a file of named tensors")
    return dict(state)


def load_strict(model: Any, state: Mapping[str, Any], path: str) -> None:
    """Put tensors into a model; raises `ModelError` for a missing, an unknown or a misshapen one."""
    own = model.state_dict()
    wrong = [f"{k} is missing" for k in own if k not in state]
    wrong += [f"{k} is unknown" for k in state if k not in own]
    both = [k for k in own if k in state]
    wrong += [f"{k} is {_shape(state[k])} and not {_shape(own[k])}" for k in both if state[k].shape != own[k].shape]
    _refuse(wrong, path)
    model.load_state_dict(state, assign=True)


def from_folder(kind: Any, folder: str, dtype: Any) -> Any:
    """A transformers model from a folder with its config and weights, strictly; raises `ModelError`."""
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    with reading(kind.__name__, folder):
        model, info = kind.from_pretrained(
            folder, dtype=dtype, local_files_only=True, use_safetensors=True, output_loading_info=True,
            ignore_mismatched_sizes=True,
        )  # fmt: skip
    wrong = [f"{k} is missing" for k in sorted(info["missing_keys"])]
    wrong += [f"{k} is unknown" for k in sorted(info["unexpected_keys"])]
    wrong += [f"{k[0]} is {tuple(k[1])} and not {tuple(k[2])}" for k in sorted(info["mismatched_keys"])]
    _refuse(wrong, folder)
    return model


@contextmanager
def reading(name: str, folder: str) -> Iterator[None]:
    """Turn whatever transformers raises over the files in a folder into a `ModelError`."""
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


def _refuse(wrong: list[str], path: str) -> None:
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise ModelError(
            f"the weights in {path} do not fit: {'; '.join(wrong[:_SHOWN])}{more}",
            "check that they are of this model, with `vremove models verify` if they were fetched",
        )


def _shape(tensor: Any) -> tuple[int, ...]:
    return tuple(tensor.shape)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].strip().rstrip(".:")
