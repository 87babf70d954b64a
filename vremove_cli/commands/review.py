"""vremove review: look at results beside their sources, and say which are good."""

from pathlib import Path
from typing import Annotated

import typer

from vremove_cli.commands.serving import NoBrowser, Port, show_page
from vremove_cli.commands.signature import Given, command, reporting


@command(name="review", only=lambda o: o.name in ("json", "debug"))
def review(
    reports: Annotated[list[str], typer.Argument(metavar="REPORT", help="Files NAME.vremove.json, or folders.")],
    given: Given,
    out: Annotated[
        str, typer.Option("-o", "--out", metavar="FILE", help="Verdicts as JSON lines. \\[review.jsonl]")
    ] = "review.jsonl",
    port: Port = 0,
    no_browser: NoBrowser = False,
) -> None:
    """Compare results with their sources in the browser; accept or reject each.

    vremove review clip.clean.vremove.json
    vremove review clean -o verdicts.jsonl
    """
    with reporting(given) as console:
        from vremove_cli.page.review import Review, read_report, reports_in
        from vremove_cli.page.routes import ReviewRoutes

        shown = Review([read_report(path) for path in reports_in(reports)], Path(out))
        try:
            show_page(console, ReviewRoutes(shown).app, port=port, browser=not no_browser)
        finally:
            shown.close()
