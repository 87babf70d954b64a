"""What commands that show a page in the browser share."""

from typing import TYPE_CHECKING, Annotated

import typer

from vremove_cli.console import Console

if TYPE_CHECKING:
    from starlette.types import ASGIApp

Port = Annotated[int, typer.Option("--port", metavar="N", min=0, max=65535, help="Port. \\[a free one]")]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Print the page's address only.")]


def show_page(console: Console, app: "ASGIApp", *, port: int, browser: bool) -> None:
    """Print a page's address and serve it until the process is told to end."""
    from vremove_cli.page.server import serve

    console.tell_people("the page is open until Ctrl+C")
    serve(
        app,
        port=port,
        browser=browser,
        tell=lambda address: console.data("page", {"address": address}, address),
    )
