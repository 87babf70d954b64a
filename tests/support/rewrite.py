"""Read a clip and write it again with nothing erased: what is copied, and what is said of it."""

from pathlib import Path

from vremove_cli.media.encoder_choice import choose_encoder
from vremove_cli.media.encoder_options import EncoderOptions
from vremove_cli.media.lost_side_data import lost_side_data
from vremove_cli.media.read import open_clip
from vremove_cli.media.stream_plan import plan_streams
from vremove_cli.media.write import open_writer


def rewrite(clip: Path, output: Path, *, drop: bool = False, skip_errors: bool = False) -> list[str]:
    """Write a clip to `output`; returns the notes."""
    reader = open_clip(str(clip), skip_errors=skip_errors)
    notes = list(reader.info.notes)
    spec = choose_encoder(reader.info, str(output), EncoderOptions(), notes)
    notes += lost_side_data(reader.info, spec)
    plans = plan_streams(reader.info, spec, drop=drop, notes=notes)
    with open_writer(str(output), reader.info, spec, plans, overwrite=True) as writer:
        for frame in reader.frames():
            writer.write(frame)
    return notes
