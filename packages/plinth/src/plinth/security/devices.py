"""Device cookies, which recognize the devices on which an account has signed in.

The cookie contains a random device id and a signature for each account that signed in there: an
HMAC of the id, the account and its `credential_epoch`. It grants no access. Failed sign-ins of a
recognized device are counted separately, so that strangers cannot lock out the owner of the account
(https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies). A change of
the password, e-mail, role or active flag invalidates all signatures of the account.
"""

import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from typing import NamedTuple

from plinth.security.signing import Signer

COOKIE = "plinth_device"
SECONDS = 365 * 86400
BYTES = 16  # of the id, and of a signature
MAX_ACCOUNTS = 5  # per browser; the least recent one is dropped
FORMAT = re.compile(rf"[A-Za-z0-9_-]{{22}}(\.[A-Za-z0-9_-]{{22}}){{1,{MAX_ACCOUNTS}}}")

_signer = Signer("plinth known device")


class Account(NamedTuple):
    user_id: int
    credential_epoch: int

    @property
    def key(self) -> str:
        """Text that changes whenever the credentials of the account change."""
        return f"{self.user_id} {self.credential_epoch}"


def recognize_device(cookie: str | None, account: Account, *, email: str) -> str | None:
    """Return the device id if this account has signed in on the device.

    Args:
        email: as typed. Earlier releases signed only the e-mail. Their signatures stay valid until
            the account's credentials change for the first time.
    """
    if not cookie or not FORMAT.fullmatch(cookie):
        return None
    device, *signatures = cookie.split(".")
    expected = [_sign(device, account)]
    if account.credential_epoch == 0:
        expected.append(_sign_email(device, email))
    is_known = any(hmac.compare_digest(given, it) for given in signatures for it in expected)
    return device if is_known else None


def remember(cookie: str | None, account: Account) -> str:
    """Return the new value of the cookie after a sign-in of this account."""
    device, *signatures = (
        cookie.split(".")
        if cookie and FORMAT.fullmatch(cookie)
        else [_encode(secrets.token_bytes(BYTES))]
    )
    signature = _sign(device, account)
    others = [other for other in signatures if other != signature]
    return ".".join([device, signature, *others][: MAX_ACCOUNTS + 1])


def _sign(device: str, account: Account) -> str:
    # Never equal to an e-mail address, since it contains no @.
    return _sign_bytes(device, account.key.encode())


def _sign_email(device: str, email: str) -> str:
    # Fold only ASCII, on bytes. A wider folding than the database's would give a similar address
    # a signature that is valid for the account that it resembles.
    return _sign_bytes(device, email.encode().lower())


def _sign_bytes(device: str, account: bytes) -> str:
    return _encode(_signer.sign(device.encode() + b"\0" + account)[:BYTES])


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
