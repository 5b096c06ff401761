"""The devices on which an account has signed in, by a cookie that they bring along.

The cookie holds the device's random id, and a mark for each account that signed in there: an HMAC
of the id, the account and its `credential_epoch`. It opens nothing. It only has a device's failed
sign-ins counted apart from those of strangers, so that these cannot lock the account's owner out
(https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies). A change of
the password, e-mail, role or active flag voids all marks of the account.
"""

import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from typing import NamedTuple

from plinth.security.signing import Signer

COOKIE = "plinth_device"
SECONDS = 365 * 86400
BYTES = 16  # of the id, and of a mark
ACCOUNTS = 5  # that share a browser; the one longest away is forgotten
SHAPE = re.compile(rf"[A-Za-z0-9_-]{{22}}(\.[A-Za-z0-9_-]{{22}}){{1,{ACCOUNTS}}}")

_marker = Signer("plinth known device")


class Account(NamedTuple):
    user_id: int
    credential_epoch: int

    @property
    def key(self) -> str:
        """A text that changes with each change of the account's credentials."""
        return f"{self.user_id} {self.credential_epoch}"


def recognize_device(cookie: str | None, account: Account, *, email: str) -> str | None:
    """The device's id, where this account has signed in on it.

    Args:
        email: as it was typed. Earlier releases marked that alone. Their marks count until the
            account's credentials change for the first time.
    """
    if not cookie or not SHAPE.fullmatch(cookie):
        return None
    device, *marks = cookie.split(".")
    expected = [_mark(device, account)]
    if account.credential_epoch == 0:
        expected.append(_mark_email(device, email))
    found = any(hmac.compare_digest(mark, it) for mark in marks for it in expected)
    return device if found else None


def remember(cookie: str | None, account: Account) -> str:
    """The cookie's new value, now that this account has signed in."""
    device, *marks = (
        cookie.split(".")
        if cookie and SHAPE.fullmatch(cookie)
        else [_encode(secrets.token_bytes(BYTES))]
    )
    mark = _mark(device, account)
    others = [other for other in marks if other != mark]
    return ".".join([device, mark, *others][: ACCOUNTS + 1])


def _mark(device: str, account: Account) -> str:
    # No e-mail address is of this form: it has no @.
    return _encode_mark(device, account.key.encode())


def _mark_email(device: str, email: str) -> str:
    # Bytes know the case of ASCII alone. With a wider idea of "the same e-mail" than the database
    # has, whoever registers a look-alike would get a mark that fits the account it resembles.
    return _encode_mark(device, email.encode().lower())


def _encode_mark(device: str, account: bytes) -> str:
    return _encode(_marker.sign(device.encode() + b"\0" + account)[:BYTES])


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
