"""Keywords of the functions in `vremove_cli`, for type checkers and editors.

Made by `python -m vremove_cli.job.keyword_types` from the fields in job/request.py; do not edit.
"""

from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any, Literal, TypedDict

import numpy as np
import numpy.typing as npt

Coordinates = str | tuple[float | str, ...]  # "320,240", (320, 240), or with a frame or time: (320, 240, 120)
File = str | PathLike[str]
Masks = File | npt.NDArray[Any] | Iterable[npt.NDArray[np.uint8] | npt.NDArray[np.bool_]]


class TrackingOptions(TypedDict, total=False):
    """What is tracked, and how."""

    point: Coordinates | Sequence[Coordinates]
    box: Coordinates | Sequence[Coordinates]
    not_point: Coordinates | Sequence[Coordinates]
    text: str | None
    mask: Masks | None
    key_mask: str | Sequence[str]
    prompts: File | None
    start: str | int | float | None
    end: str | int | float | None
    tracker: str
    device: Literal["auto", "cuda", "xpu", "mps", "cpu"]
    accept_license: str | Sequence[str]
    download: Literal["ask", "auto", "never"]
    weights: str | Sequence[str]
    models: File | None
    pick: int | Sequence[int]
    all_matches: bool
    invert_mask: bool
    static: bool
    track_every: int | None
    sam2_engine: Literal["transformers", "sam2"]
    frozen: bool
    threads: int | None
    cuts: str | tuple[int, ...]
    skip_errors: bool


class RequestOptions(TrackingOptions, total=False):
    """What is erased, and how."""

    effects: Masks
    remover: str
    prompt: str
    negative_prompt: str
    quality: Literal["draft", "standard", "best"]
    steps: int | None
    size: str | tuple[int, int] | None
    guidance: float | None
    lora: File | Sequence[File]
    conditioning: Literal["released", "paper"]
    second_pass: Literal["off", "on", "reference"] | bool
    affected_mask: Masks | None
    affected_point: Coordinates | Sequence[Coordinates]
    affected_box: Coordinates | Sequence[Coordinates]
    affected_by: str | None
    quadmask: Masks | None
    recover: Literal["on", "off"] | bool
    seed: int
    candidates: int
    min_score: float | None
    retry: int
    codec: str | None
    crf: int | None
    bitrate: str | int | None
    encoder: Literal["software", "nvenc", "qsv", "videotoolbox"]
    preset: str | None
    pix_fmt: str | None
    drop_streams: bool
    grow: int | Literal["auto"]
    feather: float
    reference: File | Sequence[File]
    memory: Literal["auto", "resident", "fp8", "offload"]
    gpu_memory: float | None
    compile: bool


class MaskExports(TypedDict, total=False):
    """What `mask` writes beside the masks."""

    write_preview: File | None
    write_cutout: File | None


class ExportOptions(MaskExports, total=False):
    """What is written beside the result."""

    write_mask: File | None
    write_matte: File | None
    write_effects: File | None
    write_quadmask: File | None
    write_plate: File | None
    write_patch: File | None


class MaskOptions(TrackingOptions, MaskExports, total=False):
    """The keywords of `mask`."""


class EraseOptions(RequestOptions, ExportOptions, total=False):
    """The keywords of `erase`."""
