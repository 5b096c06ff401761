"""The advice of a security mail ends the access of someone else, in the right order."""

from datetime import UTC, datetime
from email.message import EmailMessage
from uuid import uuid4

import pytest

from plinth.config import settings
from plinth.mail import render_message
from plinth.mail.messages import TEMPLATES

CONTEXT = {
    "username": "ann",
    "page": "forgot-password",
    "provider": "google",
    "left": "3",
    "name": "CI",
    "organization": "Acme",
    "inviter": "bob",
    "role": "member",
    "until": "2 December",
    "new_email": "new@example.com",
}
SITE, LINK = "https://app.example.com", "https://app.example.com/forgot-password"
# These give access after a new password too, so they are removed first.
ADDED = {
    "api_key_changed": "revoke the key",
    "api_key_created": "revoke the key",
    "factor_added": "remove the second factor",
    "identity_linked": "remove the account at",
}
# A new password ends the sessions in which this was done.
CHANGED = {
    "factor_removed": "add the second factor again",
    "identity_removed": "remove the ways to sign in that you do not know",
    "password_changed": "remove the ways to sign in that you do not know",
    "recovery_code_used": "create new recovery codes",
    "recovery_codes_replaced": "create new recovery codes",
}
OTHERS = {
    "account_claimed",  # everything that someone else could have added is gone
    "api_key_revoked",
    "email_change",
    "email_change_notice",  # a new password cancels the change
    "email_changed",  # only support can help
    "email_code",
    "email_verify",
    "impersonated",
    "organization_invitation",
    "password_reset",
}


def read_parts(kind: str) -> list[str]:
    """Return the text and the HTML of a mail, with single spaces."""
    rendered = render_message(
        kind,
        number=uuid4(),
        written=datetime.now(UTC),
        recipient="ann@example.com",
        context=CONTEXT,
    )
    message: EmailMessage = rendered.message
    parts = [message.get_body((it,)) for it in ("plain", "html")]
    return [" ".join(part.get_content().split()) for part in parts if part]


@pytest.fixture(autouse=True)
def site(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "FRONTEND_URL", SITE)


def test_each_mail_has_its_advice_checked() -> None:
    """Add a new mail to one of the groups above."""
    kinds = {file.stem for file in TEMPLATES.glob("*.txt")}
    assert kinds == ADDED.keys() | CHANGED.keys() | OTHERS


@pytest.mark.parametrize("kind", ADDED)
def test_mail_advises_to_remove_the_addition_before_a_new_password(kind: str) -> None:
    parts = read_parts(kind)
    assert len(parts) == 2
    for part in parts:
        at = [part.index(it) for it in (SITE, ADDED[kind], "sign out all other devices", LINK)]
        assert at == sorted(at)
        assert "A new password alone does not remove" in part
        assert "contact the support" in part


@pytest.mark.parametrize("kind", CHANGED)
def test_mail_advises_a_new_password_before_the_rest(kind: str) -> None:
    for part in read_parts(kind):
        first, then = part.index(LINK), part.index("Then sign in at")
        assert first < then < part.index(CHANGED[kind])
        assert SITE in part[then:]
