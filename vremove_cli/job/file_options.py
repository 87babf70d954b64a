"""Options about the files of a run, not about the picture."""

from dataclasses import dataclass

from vremove_cli.options import Panel, option


@dataclass(frozen=True)
class FileOptions:
    """Where a run works, and what it may replace; each field is an option."""

    overwrite: bool = option(False, "Replace an existing output.", panel=Panel.EVERYDAY, tracking=True)
    work: str | None = option(
        None, "Folder for work files.", panel=Panel.OUTPUT, metavar="DIR", path=True, tracking=True
    )
    keep_work: bool = option(False, "Keep the work files.", panel=Panel.OUTPUT)
