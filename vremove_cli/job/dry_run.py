"""A rehearsal: everything that a run would refuse before its work, and what the work would take. Nothing is written."""

from pathlib import Path
from typing import Any

import numpy as np

from vremove_cli.job.estimate import Estimate, check_resources, downloads, estimate
from vremove_cli.job.events import Emit
from vremove_cli.job.file_options import FileOptions
from vremove_cli.job.output_paths import check_targets, default_work_folder, make_request
from vremove_cli.job.plan import EMPTY_MASK, SHRUNK_MASK, Plan, full_mask, nothing_to_erase
from vremove_cli.job.planner import make_plan
from vremove_cli.job.request import Exports
from vremove_cli.job.resume import check_replaceable
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.masks.io import MaskFile
from vremove_cli.masks.morphology import grow
from vremove_cli.media.write import check_output
from vremove_cli.removers.void.quadmask import is_erased
from vremove_cli.weights import store


def rehearse(
    source: str, output: str | None, options: dict[str, Any], exports: Exports, files: FileOptions, emit: Emit
) -> Estimate:
    """Return what a run would take.

    Args:
        source: The clip.
        output: The result.
        options: Fields of `Request`.
        exports: What to write beside the result.
        files: Where the run works, and what it may replace.
        emit: Gets notes and progress.

    Raises:
        VremoveError: The run would refuse the job before its work, for the same reason and with the same words.
    """
    request = make_request(source, output, options)
    check_targets(request, exports, overwrite=files.overwrite)
    folder = WorkFolder(Path(files.work) if files.work else default_work_folder(request.output))
    folder.check()
    plan = make_plan(request, emit, fetch=False)
    if folder.path.exists():
        check_replaceable(folder, request)
    check_output(request.output, plan.clip, plan.encode, overwrite=files.overwrite)
    check_resources(plan, folder.path)
    for model in downloads(plan):
        store.check_licence(model, request.accept_license)
        store.check_source(model)
    _check_mask(plan)
    return estimate(plan)


def _check_mask(plan: Plan) -> None:
    """Raise `NothingError` for a mask of the user's that is empty, or full, on every frame that is edited."""
    if plan.mask is None:
        return
    request = plan.request
    select = is_erased if request.quadmask else None
    masks = MaskFile(plan.mask, plan.clip, invert=request.invert_mask, select=select).read(*plan.span)
    shrinks = request.grow if isinstance(request.grow, int) and request.grow < 0 else 0
    some, left, full = False, False, True
    for mask in masks:
        some = some or bool(mask.any())
        full = full and bool(mask.all())
        left = left or bool(mask.any() and (not shrinks or grow(np.pad(mask, 1), shrinks).any()))
        if left and not full:
            return
    raise full_mask() if full else nothing_to_erase(SHRUNK_MASK if some else EMPTY_MASK)
