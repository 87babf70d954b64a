"""vremove pick: point at things in the browser."""

from typing import Annotated, Any

import typer

from vremove_cli.commands.serving import NoBrowser, Port, show_page
from vremove_cli.commands.signature import Given, command, reporting
from vremove_cli.job.request import Request
from vremove_cli.options import options_of

# Options of `mask` that decide on tracking and are passed on; the clicks themselves go to prompts.json.
_PASSED_ON = (
    "tracker", "device", "accept_license", "weights", "models", "track_every", "sam2_engine", "static", "threads",
    "cuts",
)  # fmt: skip
_CLICKS = ("point", "not_point", "box", "key_mask", "prompts")


@command(Request, name="pick", only=lambda o: o.name in (*_PASSED_ON, *_CLICKS, "json", "debug"))
def pick(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="A video, image sequence or folder.")],
    given: Given,
    port: Port = 0,
    no_browser: NoBrowser = False,
    save: Annotated[
        str | None, typer.Option("--save", metavar="FILE", help="Where clicks go. \\[{stem}.prompts.json]")
    ] = None,
) -> None:
    """Click on the object in the browser, see its mask, correct it, erase it, compare.

    vremove pick clip.mp4
    vremove pick clip.mp4 --point 320,240 --no-browser --port 8000

    The page is served to this machine alone. Ctrl+C ends it; the next call goes on.
    """
    with reporting(given, source) as console:
        from vremove_cli.job.request import request_from
        from vremove_cli.page.pick import open_pick
        from vremove_cli.page.routes import PickRoutes

        options = given.of(Request)
        request = request_from(source, "", options)
        shown = open_pick(source, save, request, _passed_on(options))
        try:
            show_page(console, PickRoutes(shown).app, port=port, browser=not no_browser)
        finally:
            shown.child.cancel()


def _passed_on(options: dict[str, Any]) -> tuple[str, ...]:
    """Return options as the command line takes them."""
    out: list[str] = []
    known = options_of(Request)
    for name in _PASSED_ON:
        value = options.get(name)
        if value is True:
            out.append(known[name].flag)
        elif value is not None and value is not False:
            values = value if isinstance(value, list | tuple) else [value]
            out += [part for v in values for part in (known[name].flag, str(v))]
    return tuple(out)
