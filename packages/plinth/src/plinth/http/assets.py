"""Static files for the browser: scripts, styles, fonts."""

import gzip
import hashlib
import mimetypes
from functools import cache
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

CACHE_VERSIONED = "public, max-age=31536000, immutable"
CACHE_UNVERSIONED = "public, max-age=3600"  # such as the fonts that a stylesheet refers to
COMPRESSIBLE = {".css", ".js", ".svg"}


class Assets:
    """Serve the files that the folders contained when the process started.

    If two folders have a file of the same name, the first folder wins. Each file is compressed
    once: GZipMiddleware would do it for each request, and two megabytes of script block the event
    loop for a tenth of a second.
    """

    def __init__(self, *folders: Path) -> None:
        self._files = {
            str(file.relative_to(folder)): file
            for folder in reversed(folders)
            for file in folder.rglob("*")
            if file.is_file()
        }

    def versioned(self, name: str) -> str:
        """Return `name` with a query string that changes with the content of the file."""
        return f"{name}?v={hashlib.sha256(_read(self._files[name])).hexdigest()[:12]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # `root_path` is the path where the application is mounted.
        name = scope["path"].removeprefix(scope.get("root_path", "")).lstrip("/")
        file = self._files.get(name)
        if file is None or scope["type"] != "http":
            raise HTTPException(404)
        if scope["method"] not in ("GET", "HEAD"):
            raise HTTPException(405)
        headers = {"Cache-Control": CACHE_VERSIONED if scope["query_string"] else CACHE_UNVERSIONED}
        read = _read
        if file.suffix in COMPRESSIBLE:
            headers["Vary"] = "Accept-Encoding"
            if "gzip" in Headers(scope=scope).get("accept-encoding", ""):
                headers["Content-Encoding"] = "gzip"
                read = _compress
        content = await run_in_threadpool(read, file)
        media_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        await Response(content, headers=headers, media_type=media_type)(scope, receive, send)


@cache
def _read(file: Path) -> bytes:
    return file.read_bytes()


@cache
def _compress(file: Path) -> bytes:
    return gzip.compress(_read(file), mtime=0)
