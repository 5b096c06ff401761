"""End a refused start with a sentence, as wrong settings do, and without a traceback."""

import sys

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plinth.config import SettingsError
from plinth.devservices import EmbeddedError


async def start_with_clear_errors(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Pass the lifespan on. Report a refused start by its message, which the server logs."""
    refused = False

    async def send_words(message: Message) -> None:
        nonlocal refused
        error = sys.exception()
        refused = message["type"] == "lifespan.startup.failed" and isinstance(
            error, (SettingsError, EmbeddedError)
        )
        await send({**message, "message": str(error)} if refused else message)

    try:
        await app(scope, receive, send_words)
    except (SettingsError, EmbeddedError):
        if not refused:
            raise
