"""The console's static files: the page itself is always fresh, its hashed assets are kept for ever."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path

from fastapi import FastAPI
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from powerflock.api.problems import problem

UNBUILT = "The console's page is not built into this installation; the API under /api/v1 works."


class PageFiles(StaticFiles):
    """Static files with the caching that Vite's file names allow."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file at `path`, or a 404."""
        response = await super().get_response(path, scope)
        hashed = path.startswith("assets/") and response.status_code == HTTPStatus.OK
        response.headers["cache-control"] = "public, max-age=31536000, immutable" if hashed else "no-cache"
        return response


def serve_page(app: FastAPI, static_dir: Path | None) -> None:
    """Serve the built page at `/`, or say that it is not built; to be called after all other routes."""
    if static_dir is not None and (static_dir / "index.html").is_file():
        app.mount("/", PageFiles(directory=static_dir, html=True), name="page")
        return

    async def unbuilt() -> Response:
        return problem(HTTPStatus.NOT_FOUND, UNBUILT, "page_not_built")

    app.add_api_route("/", unbuilt, include_in_schema=False)
