"""Time-based one-time passwords: RFC 6238 with SHA-1, 6 digits and steps of 30 seconds, which is
what every authenticator app supports.
"""

import hmac
import secrets
from base64 import b32encode
from urllib.parse import quote, urlencode

DIGITS = 6
STEP_SECONDS = 30
SECRET_BYTES = 20  # RFC 4226, section 4: as long as the output of SHA-1
DRIFT_STEPS = 1  # RFC 6238, section 5.2: accept one step before and after


def make_secret() -> bytes:
    return secrets.token_bytes(SECRET_BYTES)


def make_code(secret: bytes, step: int, *, digits: int = DIGITS) -> str:
    """Return the code of a step (RFC 4226, section 5.3).

    Args:
        step: the number of steps since 1970.
    """
    mac = hmac.digest(secret, step.to_bytes(8, "big"), "sha1")
    offset = mac[-1] & 0x0F
    number = int.from_bytes(mac[offset : offset + 4], "big") & 0x7FFF_FFFF
    return str(number % 10**digits).zfill(digits)


def find_step(secret: bytes, code: str, *, now: float) -> int | None:
    """Return the step whose code this is, within `DRIFT_STEPS` of now.

    Args:
        now: Unix time in seconds.
    """
    current = int(now) // STEP_SECONDS
    given = code.encode(errors="surrogatepass")
    found = None
    for step in range(current - DRIFT_STEPS, current + DRIFT_STEPS + 1):
        if hmac.compare_digest(make_code(secret, step).encode(), given):
            found = step
    return found


def encode_secret(secret: bytes) -> str:
    """Return the secret in base32, to be typed into an app."""
    return b32encode(secret).decode().rstrip("=")


def make_uri(secret: bytes, *, issuer: str, account: str) -> str:
    """Return the `otpauth://` URI that authenticator apps read from a QR code.

    The format is that of https://github.com/google/google-authenticator/wiki/Key-Uri-Format.
    """
    issuer = issuer.replace(":", " ")  # the separator of the label
    label = f"{quote(issuer)}:{quote(account)}"
    values = {"secret": encode_secret(secret), "issuer": issuer}
    return f"otpauth://totp/{label}?{urlencode(values, quote_via=quote)}"
