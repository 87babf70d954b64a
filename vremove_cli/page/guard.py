"""Lets nobody in but the page itself: a secret in the address, and the names under which this machine calls itself."""

import secrets
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A name of another host in `Host` is a page elsewhere whose name was made to point here (DNS rebinding). The port may
# be another one: that of a tunnel.
_OWN_NAMES = ("127.0.0.1", "localhost", "::1")
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


def new_token() -> str:
    """Return a secret that cannot be guessed."""
    return secrets.token_urlsafe(24)


class Guard:
    """Passes on requests below `/TOKEN/` that come from this machine's own page.

    Args:
        app: What answers them; it sees paths without the token.
        token: The secret.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        rest = self._inside(scope)
        if rest is None or not _from_here(scope):
            await PlainTextResponse("not found", 404)(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *((k.encode(), v.encode()) for k, v in _HEADERS.items())]
            await send(message)

        await self._app({**scope, "path": rest, "raw_path": rest.encode(), "root_path": ""}, receive, with_headers)

    def _inside(self, scope: Scope) -> str | None:
        """Return the path behind the token; None without it."""
        first, slash, rest = str(scope["path"]).removeprefix("/").partition("/")
        return f"/{rest}" if secrets.compare_digest(first.encode(), self._token.encode()) and slash else None


def _from_here(scope: Scope) -> bool:
    """Return whether a request names this machine as its host, and no other page as its origin."""
    headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
    host, origin = headers.get("host", ""), headers.get("origin")
    if urlsplit(f"//{host}").hostname not in _OWN_NAMES:
        return False
    return origin is None or urlsplit(origin).netloc == host
