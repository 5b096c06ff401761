"""Files for the browser: scripts, styles, fonts."""

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

A_YEAR = "public, max-age=31536000, immutable"
AN_HOUR = "public, max-age=3600"  # for what is asked for without a version, such as a style's fonts
COMPRESSIBLE = {".css", ".js", ".svg"}


class Assets:
    """Serves what lies in these folders as it was when the process started; later folders give way
    to earlier ones.

    Each file is compressed once. GZipMiddleware would do it again with each request, and two
    megabytes of script are a tenth of a second for which nobody else is answered.
    """

    def __init__(self, *folders: Path) -> None:
        self._files = {
            str(file.relative_to(folder)): file
            for folder in reversed(folders)
            for file in folder.rglob("*")
            if file.is_file()
        }

    def versioned(self, name: str) -> str:
        """`name` with a query that changes when the file does."""
        return f"{name}?v={hashlib.sha256(_read(self._files[name])).hexdigest()[:12]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Where it is mounted stands in root_path.
        name = scope["path"].removeprefix(scope.get("root_path", "")).lstrip("/")
        file = self._files.get(name)
        if file is None or scope["type"] != "http":
            raise HTTPException(404)
        if scope["method"] not in ("GET", "HEAD"):
            raise HTTPException(405)
        headers = {"Cache-Control": A_YEAR if scope["query_string"] else AN_HOUR}
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
