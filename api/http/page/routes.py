"""GET / and /ui: the page, its scripts and styles. Files only, the same for every caller."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import Final

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from winnow.api.http.page.rendering import Shell, rendered_shell
from winnow.api.http.problem_response import ProblemResponse
from winnow.api.http.problems import Problem, problem_of_status

log = logging.getLogger(__name__)

AHEAD_AFTER_SECONDS: Final = 1.0  # a service that is started for a moment renders nothing
THEME: Final = "theme.css"
MISSING: Final = (
    "The page needs the extra `ui`, which is not installed: pip install 'winnow-search[ui]', then restart. "
    "/docs describes the API"
)
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
HASHED: Final = "assets"  # Gradio's scripts and styles: each name has a digest of the content
KEPT: Final = {"Cache-Control": "public, max-age=31536000, immutable"}


def is_installed() -> bool:
    """Whether the extra `ui` is installed."""
    return importlib.util.find_spec("gradio") is not None


class Page:
    """The routes of the page. It is rendered at the first visit, or `ahead` of it."""

    def __init__(self, *, installed: bool, ahead: bool = False) -> None:
        self._installed, self._ahead = installed, ahead
        self._rendering: asyncio.Task[Shell] | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Render ahead, meanwhile. At the end, end a rendering that still runs."""
        ahead = asyncio.create_task(self._render_ahead()) if self._installed and self._ahead else None
        try:
            yield
        finally:
            unfinished = [task for task in (ahead, self._rendering) if task is not None and not task.done()]
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)

    async def _render_ahead(self) -> None:
        await asyncio.sleep(AHEAD_AFTER_SECONDS)
        try:
            await self._shell()
        except (RuntimeError, OSError, TimeoutError):  # the service serves without a page, and a visitor tries again
            log.exception("the page was not rendered")

    def add_to(self, app: FastAPI) -> None:
        app.add_route("/", self._root, include_in_schema=False)
        app.add_route("/ui", self._page, include_in_schema=False)
        app.add_route("/ui/{path:path}", self._file, include_in_schema=False)

    async def _root(self, _: Request) -> Response:
        return RedirectResponse("ui" if self._installed else "docs", status_code=HTTPStatus.TEMPORARY_REDIRECT)

    async def _page(self, request: Request) -> Response:
        if not self._installed:
            return _missing()
        shell = await self._shell()
        language = preferred_language(request.headers.get("accept-language", ""))
        return Response(
            shell.pages[language],
            media_type="text/html",
            headers=HEADERS
            | {"Content-Security-Policy": shell.policy, "Content-Language": language, "Vary": "Accept-Language"},
        )

    async def _file(self, request: Request) -> Response:
        if not self._installed:
            return _missing()
        path = PurePosixPath(request.path_params["path"])
        if not path.parts:
            return RedirectResponse("../ui", status_code=HTTPStatus.TEMPORARY_REDIRECT)
        shell = await self._shell()
        if str(path) == THEME:
            return Response(shell.theme, media_type="text/css", headers=HEADERS)
        folder = path.parts[0]
        files = shell.files.get(folder)
        if files is None:
            return _no_file(path, HTTPStatus.NOT_FOUND)
        try:
            answer = await files.get_response(str(path.relative_to(folder)), request.scope)
        except HTTPException as error:
            return _no_file(path, error.status_code)
        answer.headers.update(HEADERS | (KEPT if folder == HASHED else {}))
        return answer

    async def _shell(self) -> Shell:
        """Return the rendered page. Concurrent first visitors wait for one rendering; one that failed is repeated."""
        if self._rendering is None or (self._rendering.done() and self._rendering.exception() is not None):
            self._rendering = asyncio.create_task(rendered_shell())
        return await asyncio.shield(self._rendering)


def preferred_language(accepted: str) -> str:
    """Return `zh` if an Accept-Language header prefers Chinese to English, else `en`."""
    best, language = 0.0, "en"
    for part in accepted.lower().split(","):
        tag, _, quality = part.strip().partition(";q=")
        weight = _number(quality) if quality else 1.0
        primary = tag.split("-")[0]
        if primary in {"en", "zh"} and weight > best:
            best, language = weight, primary
    return language


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _no_file(path: PurePosixPath, status: int) -> ProblemResponse:
    return ProblemResponse(problem_of_status(status, f"The page has no file {path}"))


def _missing() -> ProblemResponse:
    return ProblemResponse(Problem(status=HTTPStatus.NOT_FOUND, code="page_not_installed", message=MISSING))
