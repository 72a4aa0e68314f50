"""The routes: each a few lines, behind the guard."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from dmix_core.errors import DmixError

from .errors import StudioError
from .guard import REPORT_POLICY, Guard
from .hub import Hub
from .library import listed, report_of
from .limits import REQUEST_BYTES, UPLOAD_BYTES
from .scene import Order
from .set_jobs import SetOrder
from .tabs import Tab
from .taking_home import recipe_text, shown, taken_home
from .uploads import received, stored
from .variants import Variant, index_of

PAGE = Path(__file__).parent / "page"
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
FILES = {path.name: path for path in PAGE.iterdir() if path.suffix in TYPES}
"""What is served of the page, by name: nothing else is."""
HEARTBEAT = 15.0
"""Seconds after which a silent stream says that it is there."""
Body = TypeVar("Body", bound=BaseModel)


def routes(hub: Hub, guard: Guard) -> list[Route]:
    """All routes."""
    table = Table(hub, guard)
    own, variant = "/api/tabs/{tab}", "/api/tabs/{tab}/variants/{variant}"
    made = [
        ("GET", "/", table.page),
        ("GET", "/page/{name}", table.file),
        ("GET", "/api/catalogue", table.catalogue),
        ("GET", "/api/library", table.library),
        ("GET", "/api/library/{id}", table.report),
        ("GET", f"{own}/events", table.events),
        ("POST", f"{own}/compose", table.compose),
        ("POST", f"{own}/cancel", table.cancel),
        ("POST", f"{own}/photographs", table.upload),
        ("GET", f"{own}/photographs/{{photograph}}", table.photograph),
        ("GET", f"{own}/home.zip", table.home),
        ("POST", f"{own}/sets", table.begin_set),
        ("POST", f"{own}/sets/stop", table.stop_set),
        ("POST", f"{own}/sets/{{name}}/go-on", table.go_on_with_set),
        ("GET", f"{variant}/{{what}}.png", table.picture),
        ("GET", f"{variant}/recipe.json", table.recipe),
        ("PUT", f"{variant}/mask", table.correct),
        ("PUT", f"{variant}/kept", table.keep),
        ("DELETE", variant, table.throw_away),
    ]
    return [Route(path, guard(endpoint), methods=[method]) for method, path, endpoint in made]


async def parsed(request: Request, kind: type[Body]) -> Body:
    """The JSON body of a request.

    Raises:
        StudioError: it is too large, or what is wrong in it.
    """
    try:
        return kind.model_validate_json(await received(request.stream(), REQUEST_BYTES))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "the request"
        raise StudioError(f"{where} is {str(problem['input'])[:80]!r}; {problem['msg']}.", 422) from error


class Table:
    """The endpoints."""

    def __init__(self, hub: Hub, guard: Guard) -> None:
        self.hub, self.guard = hub, guard

    # ---- the page ---------------------------------------------------------------------------------------------

    async def page(self, request: Request) -> Response:
        """The page; the token of the address becomes a cookie, so that it stands in no history."""
        if self.guard.token and "token" in request.query_params:
            response = RedirectResponse("/", 303)
            response.set_cookie(self.guard.cookie, self.guard.token, httponly=True, samesite="strict")
            return response
        return _file("index.html")

    async def file(self, request: Request) -> Response:
        """A script or style of the page."""
        return _file(request.path_params["name"])

    async def catalogue(self, request: Request) -> Response:
        """Models, plugins and their settings, and where sets are written."""
        offered = await self.hub.catalogue(anew="anew" in request.query_params)
        return JSONResponse(offered | {"folder": str(self.hub.folders[0])})

    async def library(self, request: Request) -> Response:
        """Sets and trainings in the given folders."""
        return JSONResponse(await asyncio.to_thread(listed, self.hub.folders))

    async def report(self, request: Request) -> Response:
        """The report of one of them."""
        page = await asyncio.to_thread(report_of, self.hub.folders, request.path_params["id"])
        return Response(page, media_type="text/html", headers={"Content-Security-Policy": REPORT_POLICY})

    # ---- a tab ------------------------------------------------------------------------------------------------

    async def events(self, request: Request) -> Response:
        """The stream of a tab's events; a tab is open as long as it has one."""
        tab = self.hub.tabs.open(request.path_params["tab"])
        return StreamingResponse(_stream(self.hub, tab), media_type="text/event-stream")

    async def compose(self, request: Request) -> Response:
        """Let a scene be composed."""
        order = await parsed(request, Order)
        return JSONResponse({"run": await self.hub.compose(self._tab(request), order)}, 202)

    async def cancel(self, request: Request) -> Response:
        """End what is being composed for the tab, and what it waits for."""
        self.hub.cancel(self._tab(request))
        return JSONResponse({})

    async def upload(self, request: Request) -> Response:
        """Take in a photograph."""
        tab = self._tab(request)
        data = await received(request.stream(), UPLOAD_BYTES)
        name = request.query_params.get("name", "photograph")[:200]
        key, photograph = await asyncio.to_thread(stored, tab, data, name)
        tab.photographs[key] = photograph
        width, height = photograph.size
        return JSONResponse({"id": key, "label": photograph.name, "size": [height, width]}, 201)

    async def photograph(self, request: Request) -> Response:
        """A photograph of the tab's, upright."""
        found = self._tab(request).photographs.get(request.path_params["photograph"])
        if found is None:
            raise StudioError("This photograph is not there any more.", 404)
        return Response(await asyncio.to_thread(found.path.read_bytes), media_type="image/png")

    # ---- variants ---------------------------------------------------------------------------------------------

    async def picture(self, request: Request) -> Response:
        """The image, mask or twin of a variant."""
        variant, what = self._variant(request), request.path_params["what"]
        data = {"image": variant.image, "mask": variant.mask, "twin": variant.twin}.get(what)
        if data is None:
            raise StudioError(f"There is no {what} of this picture, or not yet.", 404)
        return Response(data, media_type="image/png")

    async def recipe(self, request: Request) -> Response:
        """The recipe of a variant, as a file."""
        text = recipe_text(self._variant(request), self._tab(request).photographs)
        headers = {"Content-Disposition": 'attachment; filename="recipe.json"'}
        return Response(text, media_type="application/json", headers=headers)

    async def correct(self, request: Request) -> Response:
        """Take a mask that was corrected by hand."""
        variant = self._variant(request)
        data = await received(request.stream(), UPLOAD_BYTES)
        await asyncio.to_thread(lambda: variant.correct(index_of(data)))
        return JSONResponse(shown(variant, self._tab(request).photographs))

    async def keep(self, request: Request) -> Response:
        """Keep a variant, or keep it no longer."""
        variant = self._variant(request)
        variant.kept = await received(request.stream(), REQUEST_BYTES) == b"true"
        return JSONResponse(shown(variant, self._tab(request).photographs))

    async def throw_away(self, request: Request) -> Response:
        """Throw a variant away."""
        del self._tab(request).variants[self._variant(request).id]
        return JSONResponse({})

    async def home(self, request: Request) -> Response:
        """Everything that was kept, as a zip."""
        tab = self._tab(request)
        formats = [name for name in request.query_params.get("formats", "").split(",") if name]
        complete = await self.hub.twins(tab)
        try:
            data = await asyncio.to_thread(taken_home, tab.kept(), dict(tab.photographs), formats)
        except DmixError as error:
            more = "" if complete else " The pictures without objects are not made yet: try again in a moment."
            raise StudioError(f"{error}{more}") from error
        headers = {"Content-Disposition": 'attachment; filename="dmix-studio.zip"'}
        return Response(data, media_type="application/zip", headers=headers)

    # ---- sets -------------------------------------------------------------------------------------------------

    async def begin_set(self, request: Request) -> Response:
        """Make a set like a variant."""
        await self.hub.sets.start(self._tab(request), await parsed(request, SetOrder))
        return JSONResponse({}, 202)

    async def stop_set(self, request: Request) -> Response:
        """Stop making it."""
        self.hub.sets.stop(self._tab(request))
        return JSONResponse({})

    async def go_on_with_set(self, request: Request) -> Response:
        """Go on with one that was stopped."""
        await self.hub.sets.go_on(self._tab(request), request.path_params["name"])
        return JSONResponse({}, 202)

    def _tab(self, request: Request) -> Tab:
        return self.hub.tabs.get(request.path_params["tab"])

    def _variant(self, request: Request) -> Variant:
        return self._tab(request).variant(request.path_params["variant"])


def _file(name: str) -> Response:
    if name not in FILES:
        raise StudioError(f"The page has no file {name!r}.", 404)
    return Response(FILES[name].read_bytes(), media_type=TYPES[FILES[name].suffix])


async def _stream(hub: Hub, tab: Tab) -> AsyncIterator[str]:
    """A tab's events as server-sent events, what it has first."""
    photographs = [
        {"id": key, "label": each.name, "size": [each.size[1], each.size[0]]} for key, each in tab.photographs.items()
    ]
    have = [shown(each, tab.photographs) for each in tab.variants.values()]
    try:
        yield _sent({"event": "hello", "variants": have, "photographs": photographs})
        while True:
            try:
                yield _sent(await asyncio.wait_for(tab.events.get(), HEARTBEAT))
            except TimeoutError:
                yield ": still here\n\n"
    finally:
        hub.tabs.stopped(tab)


def _sent(event: dict[str, object]) -> str:
    return f"data: {json.dumps(event)}\n\n"
