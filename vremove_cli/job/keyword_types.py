"""The Python API's keyword types, made from the options: `python -m vremove_cli.job.keyword_types` prints them.

The output is `vremove_cli/option_types.py`, which type checkers and editors read; a test compares the two.
"""

from typing import Any, get_args, get_origin

from vremove_cli.job.options import Option, options_of
from vremove_cli.job.request import Exports, Request

_HEAD = '''"""The keywords of `vremove_cli.erase`, `mask`, `plan`, `estimate` and `finish`, for type checkers and editors.

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
'''
_MASKS = ("affected_mask", "mask", "quadmask")


def keyword_type(opt: Option) -> str:
    """Return the annotation of an option as a keyword."""
    if opt.name in _MASKS:
        return "Masks | None"
    if opt.metavar in ("X,Y", "X0,Y0,X1,Y1"):
        return "Coordinates | Sequence[Coordinates]"
    if opt.repeats:
        item = "File" if opt.path else opt.item.__name__
        return f"{item} | Sequence[{item}]"
    if opt.path:
        return "File" if opt.default is not None else "File | None"
    text = {
        "size": "str | tuple[int, int] | None",
        "start": "str | int | float | None",
        "end": "str | int | float | None",
    }
    if opt.name in text:
        return text[opt.name]
    return _spelled(opt.type) + (" | bool" if "off" in opt.choices else "")


def _spelled(hint: Any) -> str:
    """Return a type as it is written in source code."""
    if get_origin(hint) is not None and str(get_origin(hint)) == "typing.Literal":
        return f"Literal[{', '.join(repr(a).replace(chr(39), chr(34)) for a in get_args(hint))}]"
    if get_args(hint):
        return " | ".join("None" if a is type(None) else _spelled(a) for a in get_args(hint))
    return str(hint.__name__)


def source() -> str:
    """Return the source of `option_types.py`."""
    classes: tuple[tuple[str, str, str, list[str]], ...] = (
        ("TrackingOptions", "TypedDict, total=False", "What is tracked, and how.", _fields(Request, tracking=True)),
        ("RequestOptions", "TrackingOptions, total=False", "What is erased, and how.", _fields(Request, tracking=False)),
        ("MaskExports", "TypedDict, total=False", "What `mask` writes beside the masks.", _fields(Exports, tracking=True)),
        ("ExportOptions", "MaskExports, total=False", "What is written beside the result.", _fields(Exports, tracking=False)),
        ("MaskOptions", "TrackingOptions, MaskExports, total=False", "The keywords of `mask`.", []),
        ("EraseOptions", "RequestOptions, ExportOptions, total=False", "The keywords of `erase`.", []),
    )  # fmt: skip
    parts = [_HEAD]
    for name, bases, docstring, lines in classes:
        body = "".join(f"    {line}\n" for line in lines)
        parts.append(f'\n\nclass {name}({bases}):\n    """{docstring}"""\n' + (f"\n{body}" if body else ""))
    return "".join(parts)


def _fields(kind: type, *, tracking: bool) -> list[str]:
    return [f"{o.name}: {keyword_type(o)}" for o in options_of(kind).values() if o.tracking == tracking]


if __name__ == "__main__":
    print(source(), end="")
