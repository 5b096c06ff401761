"""The devices on which an account has signed in, by a cookie that they bring along.

The cookie holds the device's random id, and a mark for each account that signed in there: an HMAC
of the id and the e-mail as it was typed. It opens nothing. It only has a device's failed sign-ins
counted apart from those of strangers, so that these cannot lock the account's owner out
(https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies).
"""

import hmac
import re
import secrets
from base64 import urlsafe_b64encode

from app.core.marks import Marker

COOKIE = "plinth_device"
SECONDS = 365 * 86400
BYTES = 16  # of the id, and of a mark
ACCOUNTS = 5  # that share a browser; the one longest away is forgotten
SHAPE = re.compile(rf"[A-Za-z0-9_-]{{22}}(\.[A-Za-z0-9_-]{{22}}){{1,{ACCOUNTS}}}")

_marker = Marker("plinth known device")


def recognise(cookie: str | None, email: str) -> str | None:
    """The device's id, where the account of this e-mail has signed in on it."""
    if not cookie or not SHAPE.fullmatch(cookie):
        return None
    device, *marks = cookie.split(".")
    expected = _mark(device, email)
    return device if any(hmac.compare_digest(mark, expected) for mark in marks) else None


def remember(cookie: str | None, email: str) -> str:
    """The cookie's new value, now that the account of this e-mail has signed in."""
    device, *marks = (
        cookie.split(".")
        if cookie and SHAPE.fullmatch(cookie)
        else [_encode(secrets.token_bytes(BYTES))]
    )
    mark = _mark(device, email)
    others = [other for other in marks if other != mark]
    return ".".join([device, mark, *others][: ACCOUNTS + 1])


def _mark(device: str, email: str) -> str:
    # Bytes know the case of ASCII alone. With a wider idea of "the same e-mail" than the database
    # has, whoever registers a look-alike would get a mark that fits the account it resembles.
    text = device.encode() + b"\0" + email.encode().lower()
    return _encode(_marker.mark(text)[:BYTES])


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
