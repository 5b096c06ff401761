"""Spellings of e-mail addresses: each is refused with a reason, or works everywhere.

An accepted address works as typed on all routes, and receives mail.
"""

from dataclasses import dataclass
from unicodedata import normalize

import pytest
from httpx2 import AsyncClient

from plinth.config import settings
from plinth.testing.answers import check_invalid
from plinth.testing.people import PASSWORD, People
from tests.support.mail_server import Inbox, token_of

NEW = "Better-Horse-8"


def wide(text: str) -> str:
    """In full-width letters, as a Japanese keyboard writes them."""
    return "".join(chr(ord(letter) + 0xFEE0) for letter in text)


@dataclass(frozen=True)
class Works:
    typed: str
    mailed_to: str
    smtputf8: bool = False


@dataclass(frozen=True)
class Refused:
    typed: str
    reason: str
    smtputf8: bool = False


BEYOND = "must contain only ASCII before the @"
UNUSUAL = "must not contain full-width or similar letters before the @"
PUNYCODE = "ann@xn--bcher-kva.example"

SPELLINGS: list[Works | Refused] = [
    Works("ann@example.com", "ann@example.com"),
    Works("Ann.Lee@example.com", "Ann.Lee@example.com"),
    Works("ANN@EXAMPLE.COM", "ANN@example.com"),
    Works(" ann@example.com", "ann@example.com"),
    Works("ann@example.com ", "ann@example.com"),
    Works("  ann@example.com   ", "ann@example.com"),
    Works("\u00a0ann@example.com\u3000", "ann@example.com"),
    Works("ann+tag@example.com", "ann+tag@example.com"),
    Works("ann_lee-x@sub.example.com", "ann_lee-x@sub.example.com"),
    Works("a.n.n@example.com", "a.n.n@example.com"),
    Works("!#$%&'*+/=?^_`{|}~-@example.com", "!#$%&'*+/=?^_`{|}~-@example.com"),
    Works("1@example.com", "1@example.com"),
    Works("Postmaster@example.com", "postmaster@example.com"),  # RFC 2142: independent of case
    Works("ann@123.example", "ann@123.example"),
    Works("ann@" + "a" * 63 + ".example", "ann@" + "a" * 63 + ".example"),
    Works("a" * 64 + "@example.com", "a" * 64 + "@example.com"),
    Works("\u212aelvin@example.com", "Kelvin@example.com"),  # the Kelvin sign is a K, in NFC
    Works("ann@bücher.example", PUNYCODE),
    Works("ann@BÜCHER.Example", PUNYCODE),
    Works("ann@xn--bcher-kva.example", PUNYCODE),
    Works("ANN@XN--BCHER-KVA.EXAMPLE", "ANN@xn--bcher-kva.example"),
    Works(normalize("NFD", "ann@bücher.example"), PUNYCODE),
    Works("ann@straße.example", "ann@xn--strae-oqa.example"),
    Works("ann@strasse.example", "ann@strasse.example"),
    Works("ann@βόλος.example", "ann@xn--nxasmm1c.example"),
    Works("ann@ΒΌΛΟΣ.example", "ann@xn--nxasmq6b.example"),
    Works("ann@例え.example", "ann@xn--r8jz45g.example"),
    Works(f"ann@{wide('example')}.com", "ann@example.com"),
    Works(f"ann@{wide('EXAMPLE.COM')}", "ann@example.com"),
    Works("ann@example\u3002com", "ann@example.com"),
    Works("ann@İstanbul.example", "ann@xn--istanbul-o0e.example"),
    Works("ann@\u0131stanbul.example", "ann@xn--stanbul-qfb.example"),
    Refused("josé@example.com", BEYOND),
    Refused(normalize("NFD", "josé@example.com"), BEYOND),
    Refused("v\u0130ctim@example.com", BEYOND),
    Refused("v\u0131ctim@example.com", BEYOND),
    Refused("victi\u0307m@example.com", BEYOND),
    Refused("vict\u0456m@example.com", BEYOND),  # Cyrillic
    Refused(wide("victim") + "@example.com", BEYOND),
    Refused("groß@example.com", BEYOND),
    Refused("ann@example.com.", "a period"),
    Refused("ann.@example.com", "a period"),
    Refused(".ann@example.com", "a period"),
    Refused("an..n@example.com", "two periods"),
    Refused("ann@@example.com", "@"),
    Refused("a@b@example.com", "@"),
    Refused("ann" + chr(0xFF20) + "example.com", "full-width"),
    Refused("ann", "@-sign"),
    Refused("@example.com", "before the @-sign"),
    Refused("ann@", "after the @-sign"),
    Refused("an n@example.com", "contains invalid characters"),
    Refused("ann@exam ple.com", "contains invalid characters"),
    Refused("ann\u200b@example.com", "unsafe characters"),
    Refused("ann@example.com\u200b", "unsafe characters"),
    Refused("ann\n@example.com", "control characters"),
    Refused("Ann <ann@example.com>", "display name"),
    Refused("<ann@example.com>", "angle brackets"),
    Refused("ann@example.com, bo@example.com", "contains invalid characters"),
    Refused("mailto:ann@example.com", "contains invalid characters"),
    Refused('"ann"@example.com', "Quoting"),
    Refused('"an n"@example.com', "Quoting"),
    Refused("ann(comment)@example.com", "contains invalid characters"),
    Refused("ann@[192.0.2.1]", "bracketed IP address"),
    Refused("ann@192.0.2.1", "not valid"),
    Refused("ann@localhost", "not valid"),
    Refused("ann@example", "not valid"),
    Refused("ann@host.local", "special-use"),
    Refused("ann@ex_ample.com", "contains invalid characters"),
    Refused("ann@-example.com", "hyphen"),
    Refused("ann@xn--a.example", "IDNA"),
    Refused("a" * 65 + "@example.com", "too long before the @-sign"),
    Refused("ann@" + "a" * 64 + ".example", "so many characters"),
    Refused("ann@" + ".".join(["a" * 60] * 4) + ".example", "too long"),
    # If the mail server offers SMTPUTF8:
    Works("josé@example.com", "josé@example.com", smtputf8=True),
    Works("JOSÉ@Example.com", "JOSÉ@example.com", smtputf8=True),
    Works(normalize("NFD", "josé@example.com"), "josé@example.com", smtputf8=True),
    Works("用户@例え.example", "用户@xn--r8jz45g.example", smtputf8=True),
    Works("v\u0130ctim@example.com", "v\u0130ctim@example.com", smtputf8=True),
    Works("groß@example.com", "groß@example.com", smtputf8=True),
    Works("ΟΔΟΣ@example.com", "ΟΔΟΣ@example.com", smtputf8=True),
    Refused(wide("victim") + "@example.com", UNUSUAL, smtputf8=True),
    Refused("\ufb01sh@example.com", UNUSUAL, smtputf8=True),
    Refused("é" * 33 + "@example.com", "at most 64 bytes", smtputf8=True),
    Refused("jos\u200dé@example.com", "unsafe characters", smtputf8=True),
]


def test_corpus_has_enough_spellings() -> None:
    assert len({spelling.typed for spelling in SPELLINGS}) > 60
    assert len({spelling.typed for spelling in SPELLINGS if isinstance(spelling, Works)}) > 30


@pytest.mark.parametrize("spelling", SPELLINGS, ids=lambda it: ascii(it.typed))
async def test_address_is_accepted_as_typed_or_refused_with_a_reason(
    client: AsyncClient,
    inbox: Inbox,
    monkeypatch: pytest.MonkeyPatch,
    spelling: Works | Refused,
) -> None:
    monkeypatch.setattr(settings, "SMTP_UTF8", spelling.smtputf8)
    account = {"email": spelling.typed, "username": "ann-lee", "password": PASSWORD}
    answer = await client.post("/auth/register", json=account)
    if isinstance(spelling, Refused):
        check_invalid(answer, "body.email")
        assert spelling.reason in answer.json()["errors"][0]["msg"]
        return

    assert answer.status_code == 201, answer.text
    letter = await inbox.next(spelling.mailed_to, "Confirm your e-mail")
    await confirm(client, token_of(letter))
    await sign_in(client, spelling.typed, PASSWORD)

    forgotten = await client.post("/auth/password/forgot", json={"email": spelling.typed})
    assert forgotten.status_code == 202
    token = token_of(await inbox.next(spelling.mailed_to, "Set a new password"))
    answer = await client.post("/auth/password/reset", json={"token": token, "password": NEW})
    assert answer.status_code == 204, answer.text
    await sign_in(client, spelling.typed, NEW)
    assert {tuple(recipients) for _, recipients in inbox.envelopes} == {(spelling.mailed_to,)}

    again = await client.post("/auth/register", json=account | {"username": "other"})
    assert (again.status_code, again.json()["detail"]) == (400, "Email already registered")


async def confirm(client: AsyncClient, token: str) -> None:
    answer = await client.post("/auth/email/verify", json={"token": token})
    assert answer.status_code == 204, answer.text


async def sign_in(client: AsyncClient, email: str, password: str) -> None:
    answer = await client.post("/auth/login", json={"email": email, "password": password})
    assert answer.status_code == 200, answer.text
    form = {"username": email, "password": password}
    answer = await client.post("/auth/token", data=form)
    assert answer.status_code == 200, answer.text


async def test_colliding_accounts_sign_in_and_reset_by_their_exact_spelling(
    client: AsyncClient, people: People, inbox: Inbox
) -> None:
    """An old row, from when the locale of the database decided whether two addresses are equal."""
    holder = await people.add(email="änn@bücher.example", hashed_password="!")
    other = await people.add(email="ÄNN@bücher.example", hashed_password="!")
    means = [
        (holder, ["änn@bücher.example", "Änn@XN--BCHER-KVA.example"]),
        (other, [" ÄNN@bücher.example"]),
    ]
    for number, (person, spellings) in enumerate(means):
        for typed in spellings:
            await client.post("/auth/password/forgot", json={"email": typed})
            local, _, _ = person.email.partition("@")
            token = token_of(await inbox.next(f"{local}@xn--bcher-kva.example", "Set a new"))
            new = {"token": token, "password": f"{NEW}{number}"}
            answer = await client.post("/auth/password/reset", json=new)
            assert answer.status_code == 204, answer.text
    for number, (person, spellings) in enumerate(means):
        for typed in spellings:
            credentials = {"email": typed, "password": f"{NEW}{number}"}
            tokens = (await client.post("/auth/login", json=credentials)).json()
            headers = {"Authorization": f"Bearer {tokens['access_token']}"}
            assert (await client.get("/users/me", headers=headers)).json()["id"] == person.id


async def test_address_lookup_ignores_case_in_any_database_locale(
    client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "SMTP_UTF8", True)
    account = {"email": "JOSÉ@Bücher.example", "username": "jose", "password": PASSWORD}
    assert (await client.post("/auth/register", json=account)).status_code == 201
    other = "josé@xn--bcher-kva.example"
    await sign_in(client, other, PASSWORD)
    again = await client.post("/auth/register", json=account | {"email": other, "username": "two"})
    assert (again.status_code, again.json()["detail"]) == (400, "Email already registered")
