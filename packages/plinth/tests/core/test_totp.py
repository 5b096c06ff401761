"""The test vectors of RFC 4226 (appendix D) and RFC 6238 (appendix B)."""

from urllib.parse import parse_qs, urlsplit

import pytest

from plinth.security.totp import encode_secret, find_step, make_code, make_secret, make_uri

SECRET = b"12345678901234567890"
HOTP = [
    "755224",
    "287082",
    "359152",
    "969429",
    "338314",
    "254676",
    "287922",
    "162583",
    "399871",
    "520489",
]
TOTP = {
    59: "94287082",
    1111111109: "07081804",
    1111111111: "14050471",
    1234567890: "89005924",
    2000000000: "69279037",
    20000000000: "65353130",
}


@pytest.mark.parametrize(("counter", "code"), list(enumerate(HOTP)))
def test_hotp_vectors(counter: int, code: str) -> None:
    assert make_code(SECRET, counter) == code


@pytest.mark.parametrize(("at", "code"), list(TOTP.items()))
def test_totp_vectors(at: int, code: str) -> None:
    assert make_code(SECRET, at // 30, digits=8) == code


@pytest.mark.parametrize("drift", [-1, 0, 1])
def test_a_code_of_the_step_before_and_after_is_found(drift: int) -> None:
    assert find_step(SECRET, make_code(SECRET, 100 + drift), now=100 * 30 + 29) == 100 + drift


@pytest.mark.parametrize(
    "code", [make_code(SECRET, 98), make_code(SECRET, 102), "", "\u0660" * 6, "\ud800"]
)
def test_other_code_is_not_found(code: str) -> None:
    assert find_step(SECRET, code, now=100 * 30) is None


def test_the_uri_has_secret_and_issuer() -> None:
    secret = make_secret()
    uri = urlsplit(make_uri(secret, issuer="Shop: Ä", account="a+b@example.com"))
    assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
    assert uri.path == "/Shop%20%20%C3%84:a%2Bb%40example.com"
    assert parse_qs(uri.query) == {"secret": [encode_secret(secret)], "issuer": ["Shop  Ä"]}
