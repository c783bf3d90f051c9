"""Prefect's API and pages as a server gives them: nothing on them may ask another host for anything."""

from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import prefect
from prefect.server.api.server import create_app

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]
OWN_HOST_ALONE = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; form-action 'self'; "
    "base-uri 'self'; frame-ancestors 'none'"
)
"""The browser is told so too (Content-Security-Policy): Prefect's second set of pages loads remote files."""


def make_app() -> Application:
    """The application, without Prefect's second set of pages, which is served beside the first whatever is set."""
    prefect.__ui_v2_static_path__ = Path("not served")
    return with_header(create_app(), b"content-security-policy", OWN_HOST_ALONE.encode())


def with_header(application: Any, name: bytes, value: bytes) -> Application:
    """The same application with one more header in every answer."""

    async def answer(scope: Message, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (name, value)]
            await send(message)

        await application(scope, receive, sent)

    return answer
