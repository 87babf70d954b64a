"""Serves a page on this machine alone, until Ctrl+C."""

import signal
import socket
import threading
import webbrowser
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from vremove_cli.errors import UsageError
from vremove_cli.page.guard import Guard, new_token

HOST = "127.0.0.1"


def serve(app: ASGIApp, *, port: int, browser: bool, tell: Callable[[str], None]) -> None:
    """Serve an application until the process is told to end.

    Args:
        app: The application; it sees paths without the token.
        port: Port on this machine; 0 for a free one.
        browser: Whether a browser is opened.
        tell: Gets the page's address.

    Raises:
        UsageError: The port is taken.
    """
    token = new_token()
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port))
        except OSError as error:
            raise UsageError(
                f"port {port} cannot be used ({error.strerror})", "give another --port, or none"
            ) from error
        listening.listen()  # who asks before the server runs waits
        guarded = Guard(app, token)
        config = uvicorn.Config(guarded, log_level="warning", access_log=False, lifespan="off", server_header=False)
        server = uvicorn.Server(config)

        def end(*_: object) -> None:
            server.should_exit = True

        for number in (signal.SIGINT, signal.SIGTERM):  # the usual end; the server tells of them again when it ends
            signal.signal(number, end)
        address = f"http://{HOST}:{listening.getsockname()[1]}/{token}/"
        tell(address)
        if browser:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        server.run(sockets=[listening])
