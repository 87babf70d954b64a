"""All stage kinds by name."""

from typing import Any

from vremove_cli.job.stages import background, backward_correction, fill, plate, track
from vremove_cli.job.stages.base import StageKind

STAGES: dict[str, StageKind[Any]] = {
    stage.name: stage
    for stage in (
        track.MASK_STAGE,
        track.STAGE,
        backward_correction.STAGE,
        background.STAGE,
        plate.STAGE,
        fill.STAGE,
    )
}
MASK_STAGES = ("mask", "track", "backward_correction")  # those that `vremove mask` runs
