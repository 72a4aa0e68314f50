"""Who may ask: the token, the host, and other sites; and what a browser is told to refuse."""

import hmac
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from dmix_core.errors import DmixError

from .errors import StudioError

Endpoint = Callable[[Request], Awaitable[Response]]
MARK = "x-dmix-studio"
"""A header that only the page itself sets: other sites would have to ask first, and are not answered."""
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)
"""Of reports, which are whole files with scripts of their own: they see nothing of the page and fetch nothing."""


@dataclass(frozen=True)
class Guard:
    """What every route asks before it answers.

    Attributes:
        token: None: everyone on this machine may ask.
        hosts: by which names the server may be called; None: by any, which needs a token.
        cookie: the name of the one that holds the token.
    """

    token: str | None = None
    hosts: tuple[str, ...] | None = LOOPBACK
    cookie: str = "dmix-studio"

    def __call__(self, endpoint: Endpoint) -> Endpoint:
        """The endpoint behind all checks, its answers with headers, its errors as JSON."""

        async def guarded(request: Request) -> Response:
            try:
                self.check(request)
                response = await endpoint(request)
            except DmixError as error:
                status = error.status if isinstance(error, StudioError) else 400
                response = JSONResponse({"message": str(error)}, status)
            for name, value in HEADERS.items():
                response.headers.setdefault(name, value)
            return response

        return guarded

    def check(self, request: Request) -> None:
        """Refuse who may not ask.

        Raises:
            StudioError: no token, a wrong one, another host or another site.
        """
        host = re.sub(r":\d*$", "", request.headers.get("host", ""))
        if self.hosts is not None and host not in self.hosts:
            raise StudioError(f"This server is not called {host!r}; expected one of {', '.join(self.hosts)}.", 403)
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise StudioError("Another site has asked; expected the page itself.", 403)
        if request.method not in ("GET", "HEAD") and request.headers.get(MARK) != "1":
            raise StudioError(f"The header {MARK} is missing, which the page itself sets.", 403)
        if self.token is not None and not self._has_token(request):
            raise StudioError("The token is missing or wrong. Open the address that `dmix studio` has printed.", 401)

    def _has_token(self, request: Request) -> bool:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        given = (request.cookies.get(self.cookie), request.query_params.get("token"), bearer)
        return any(hmac.compare_digest((each or "").encode(), (self.token or "").encode()) for each in given)
