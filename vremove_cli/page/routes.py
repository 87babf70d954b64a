"""The addresses of the page: its own files, and what they ask for."""

from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import Receive, Scope, Send

from vremove_cli.errors import UsageError, VremoveError
from vremove_cli.page.frames import FrameSource, png
from vremove_cli.page.pick import Pick
from vremove_cli.page.review import Review

_STATIC = Path(__file__).parent / "static"
_TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FILES = {path.name: path for path in _STATIC.iterdir() if path.suffix in _TYPES}
_MOST_BYTES = 64 << 20  # of a painted mask
_JPEG_START = b"\xff\xd8"

Handler = Callable[[Request], Awaitable[Response]]


class PickRoutes:
    """The addresses of one clip's page.

    Args:
        pick: The clip.
    """

    def __init__(self, pick: Pick) -> None:
        self._pick = pick

    @property
    def app(self) -> Starlette:
        """The application."""
        gets = {
            "clip": self.clip, "state": self.state, "frame/{index:int}": self.frame, "result/{index:int}": self.result,
            "mask/{index:int}": self.mask, "effects/{index:int}": self.effects, "command": self.command,
            "estimate": self.estimate,
        }  # fmt: skip
        posts = {
            "click": self.click, "undo": self.undo, "redo": self.redo, "remove": self.remove, "follow": self.follow,
            "erase": self.erase, "cancel": self.cancel, "paint/{index:int}": self.paint,
        }  # fmt: skip
        return Starlette(routes=_routes(gets, posts, "pick.html"))

    async def clip(self, _: Request) -> Response:
        """What the clip is."""
        return JSONResponse(await run_in_threadpool(self._pick.facts))

    async def state(self, request: Request) -> Response:
        """What changes: clicks, progress, confidence."""
        return JSONResponse(await run_in_threadpool(self._pick.state, request.query_params.get("known", "")))

    async def frame(self, request: Request) -> Response:
        """A frame of the clip."""
        return await _picture(request, self._pick.frames)

    async def result(self, request: Request) -> Response:
        """A frame of the result."""
        return await _picture(request, await run_in_threadpool(self._pick.result))

    async def mask(self, request: Request) -> Response:
        """The mask of an object on a frame; nothing where nothing says what it is."""
        name = request.query_params.get("object", "")
        at = request.query_params.get("at", "")
        found = await run_in_threadpool(self._pick.mask, request.path_params["index"], name, at)
        if found is None:
            return Response(status_code=204)
        said = {"x-confidence": f"{found.confidence:.3f}", "x-remark": found.remark}
        return Response(await run_in_threadpool(png, found.mask), media_type="image/png", headers=said)

    async def effects(self, request: Request) -> Response:
        """Where a shadow or reflection was found on a frame."""
        index = request.path_params["index"]
        found = await run_in_threadpool(self._pick.effects, index) if index < self._pick.clip.info.frames else None
        if found is None:
            return Response(status_code=204)
        return Response(await run_in_threadpool(png, found), media_type="image/png")

    async def click(self, request: Request) -> Response:
        """Add a point or a box."""
        entry = await _json(request)
        await run_in_threadpool(self._pick.click, entry)
        return await self.state(request)

    async def undo(self, request: Request) -> Response:
        """Take the last step back."""
        await run_in_threadpool(self._pick.session.undo)
        return await self.state(request)

    async def redo(self, request: Request) -> Response:
        """Repeat a step that was taken back."""
        await run_in_threadpool(self._pick.session.redo)
        return await self.state(request)

    async def remove(self, request: Request) -> Response:
        """Remove the clicks of an object, on one frame or on all."""
        entry = await _json(request)
        await run_in_threadpool(self._pick.session.remove, [str(entry.get("object", ""))], entry.get("frame"))
        return await self.state(request)

    async def paint(self, request: Request) -> Response:
        """Take a painted mask of a frame."""
        body = await request.body()
        if len(body) > _MOST_BYTES:
            return JSONResponse({"error": "the painted mask is too large"}, 413)
        name = request.query_params.get("object", "")
        await run_in_threadpool(self._pick.paint, name, request.path_params["index"], body)
        return await self.state(request)

    async def follow(self, request: Request) -> Response:
        """Begin to follow the objects."""
        await run_in_threadpool(self._pick.follow)
        return await self.state(request)

    async def erase(self, request: Request) -> Response:
        """Begin to erase."""
        entry = await _json(request)
        await run_in_threadpool(lambda: self._pick.erase(entry, replace=bool(entry.get("replace"))))
        return await self.state(request)

    async def cancel(self, request: Request) -> Response:
        """End what is running."""
        await run_in_threadpool(self._pick.child.cancel)
        return await self.state(request)

    async def command(self, request: Request) -> Response:
        """The command that does what the page does."""
        return JSONResponse({"command": self._pick.command(dict(request.query_params))})

    async def estimate(self, request: Request) -> Response:
        """What erasing would take."""
        return JSONResponse(await run_in_threadpool(self._pick.estimate, dict(request.query_params)))


class ReviewRoutes:
    """The addresses of the page on finished results.

    Args:
        review: The results.
    """

    def __init__(self, review: Review) -> None:
        self._review = review
        self._pages: dict[int, Starlette] = {}  # on which clicks are corrected, by the number of the result

    @property
    def app(self) -> Starlette:
        """The application."""
        gets = {
            "state": self.state, "{number:int}/clip": self.clip, "{number:int}/frame/{index:int}": self.frame,
            "{number:int}/result/{index:int}": self.result,
        }  # fmt: skip
        posts = {"{number:int}/verdict": self.verdict, "{number:int}/redo": self.redo}
        pages = Mount("/pick/{number:int}", self.pick_page)
        return Starlette(routes=[*_routes(gets, posts, "review.html"), pages])

    async def state(self, _: Request) -> Response:
        """All results with their verdicts."""
        return JSONResponse(await run_in_threadpool(self._review.state))

    async def clip(self, request: Request) -> Response:
        """What the source of a result is."""
        return JSONResponse(await run_in_threadpool(self._review.facts, self._number(request)))

    async def frame(self, request: Request) -> Response:
        """A frame of a source."""
        return await _picture(request, (await run_in_threadpool(self._review.pictures, self._number(request)))[0])

    async def result(self, request: Request) -> Response:
        """A frame of a result."""
        return await _picture(request, (await run_in_threadpool(self._review.pictures, self._number(request)))[1])

    async def verdict(self, request: Request) -> Response:
        """Take a verdict."""
        entry, number = await _json(request), self._number(request)
        words = str(entry.get("verdict", "")), str(entry.get("note", ""))
        await run_in_threadpool(self._review.judge, number, *words)
        return await self.state(request)

    async def redo(self, request: Request) -> Response:
        """Open the page on which the clicks of a result can be corrected."""
        number = self._number(request)
        await run_in_threadpool(self._review.pick, number)
        return JSONResponse({"address": f"pick/{number}/"})

    async def pick_page(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what that page asks."""
        number = self._number(Request(scope))
        if number not in self._pages:
            self._pages[number] = PickRoutes(self._review.pick(number)).app
        await self._pages[number](scope, receive, send)

    def _number(self, request: Request) -> int:
        """Return the number of a result that there is; raises `UsageError`."""
        number = int(request.path_params["number"])
        if number >= len(self._review.results):
            raise UsageError("there is no such result", "reload the page")
        return number


def _routes(gets: Mapping[str, Handler], posts: Mapping[str, Handler], page: str) -> list[BaseRoute]:
    """Return the addresses of a page: what it asks for, by path below `api/`, itself, and its files."""
    routes: list[BaseRoute] = [Route(f"/api/{path}", _answering(handler)) for path, handler in gets.items()]
    routes += [Route(f"/api/{path}", _answering(handler), methods=["POST"]) for path, handler in posts.items()]
    return [*routes, Route("/", _page(page)), Route("/static/{name}", _file)]


def _answering(handler: Handler) -> Handler:
    """Return a handler whose failures are sentences."""

    @wraps(handler)
    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except VremoveError as error:
            return JSONResponse({"error": str(error)}, 409)

    return answer


async def _picture(request: Request, source: FrameSource) -> Response:
    index, width = request.path_params["index"], request.query_params.get("width", "0")
    if not 0 <= index < source.clip.info.frames or not width.isdecimal() or len(width) > 5:
        return JSONResponse({"error": "there is no such frame"}, 404)
    data = await run_in_threadpool(source.file, index, int(width))
    return Response(data, media_type="image/jpeg" if data.startswith(_JPEG_START) else "image/png")


async def _json(request: Request) -> dict[str, Any]:
    try:
        found = await request.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _page(name: str) -> Handler:
    async def answer(_: Request) -> Response:
        return Response(_FILES[name].read_bytes(), media_type=_TYPES[".html"])

    return answer


async def _file(request: Request) -> Response:
    path = _FILES.get(request.path_params["name"])
    if path is None:
        return JSONResponse({"error": "there is no such file"}, 404)
    return Response(path.read_bytes(), media_type=_TYPES[path.suffix])
