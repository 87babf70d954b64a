"""The Python API's keyword types, made from the options: `python -m vremove_cli.job.keyword_types` prints them.

The output is `vremove_cli/option_types.py`, which type checkers and editors read; a test compares the two.
"""

from typing import Any, get_args, get_origin

from vremove_cli.job.array_masks import MASK_OPTIONS
from vremove_cli.job.request import Exports, Request
from vremove_cli.options import Option, options_of

_COORDINATES = "str | tuple[float | str, ...]"
_HEAD = f'''"""Keywords of the functions in `vremove_cli`, for type checkers and editors.

Made by `python -m vremove_cli.job.keyword_types` from the fields in job/request.py; do not edit.
"""

from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any, Literal, TypedDict

import numpy as np
import numpy.typing as npt

Coordinates = {_COORDINATES}  # "320,240", (320, 240), or with a frame or time: (320, 240, 120)
File = str | PathLike[str]
Masks = File | npt.NDArray[Any] | Iterable[npt.NDArray[np.uint8] | npt.NDArray[np.bool_]]
'''


def keyword_type(opt: Option) -> str:
    """Return the annotation of an option as a keyword."""
    if opt.name in MASK_OPTIONS:
        item = "Masks"
    elif opt.path:
        item = "File"
    elif opt.convert is not None:
        item = f"str | {_spelled(opt.converted_type)}"
        item = "Coordinates" if item == _COORDINATES else item
    elif opt.repeats:
        item = opt.item.__name__
    else:
        return _spelled(opt.type) + (" | bool" if "off" in opt.choices else "")
    if opt.repeats:
        return f"{item} | Sequence[{item}]"
    return item if opt.default is not None else f"{item} | None"


def _spelled(hint: Any) -> str:
    """Return a type as it is written in source code."""
    if get_origin(hint) is not None and str(get_origin(hint)) == "typing.Literal":
        return f"Literal[{', '.join(repr(a).replace(chr(39), chr(34)) for a in get_args(hint))}]"
    if get_origin(hint) is tuple:
        return f"tuple[{', '.join('...' if a is ... else _spelled(a) for a in get_args(hint))}]"
    if get_args(hint):
        return " | ".join("None" if a is type(None) else _spelled(a) for a in get_args(hint))
    return str(hint.__name__)


def source(request: type = Request, exports: type = Exports) -> str:
    """Return the source of `option_types.py`.

    Args:
        request: Dataclass that declares what is erased, and how.
        exports: Dataclass that declares what is written beside the result.
    """
    fields = {
        (kind, tracking): _fields(kind, tracking=tracking) for kind in (request, exports) for tracking in (True, False)
    }
    classes: tuple[tuple[str, str, str, list[str]], ...] = (
        ("TrackingOptions", "TypedDict", "What is tracked, and how.", fields[request, True]),
        ("RequestOptions", "TrackingOptions", "What is erased, and how.", fields[request, False]),
        ("MaskExports", "TypedDict", "What `mask` writes beside the masks.", fields[exports, True]),
        ("ExportOptions", "MaskExports", "What is written beside the result.", fields[exports, False]),
        ("MaskOptions", "TrackingOptions, MaskExports", "The keywords of `mask`.", []),
        ("EraseOptions", "RequestOptions, ExportOptions", "The keywords of `erase`.", []),
    )
    parts = [_HEAD]
    for name, bases, docstring, lines in classes:
        body = "".join(f"    {line}\n" for line in lines)
        parts.append(
            f'\n\nclass {name}({bases}, total=False):\n    """{docstring}"""\n' + (f"\n{body}" if body else "")
        )
    return "".join(parts)


def _fields(kind: type, *, tracking: bool) -> list[str]:
    return [f"{o.name}: {keyword_type(o)}" for o in options_of(kind).values() if o.tracking == tracking]


if __name__ == "__main__":
    print(source(), end="")
