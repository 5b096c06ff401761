"""Render messages from the templates in `templates/`, as text and HTML with headers.

`<kind>.txt` starts with a line `Subject: ...` and an empty line. `<kind>.html` extends
`layout.html`, and its variables are escaped.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import parseaddr
from pathlib import Path
from typing import Any
from uuid import UUID

from email_validator import EmailNotValidError, validate_email
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from plinth.config import settings

TEMPLATES = Path(__file__).with_name("templates")
MAX_LINE_LENGTH = 998  # RFC 5322, section 2.1.1

_templates = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True, slots=True)
class Message:
    """
    Attributes:
        sender: the envelope sender, to which bounces go.
        recipient: the envelope recipient.
        link: the URL of the front end in the message.
    """

    kind: str
    message: EmailMessage
    sender: str
    recipient: str
    link: str | None


def render_message(
    kind: str, *, number: UUID, written: datetime, recipient: str, context: Mapping[str, Any]
) -> Message:
    """Render the template of a kind.

    Args:
        number: the id of the mail. It becomes the Message-ID, so that a receiver can recognize a
            second copy.
        written: the time for the Date header.
        context: the variables of the template. `page` and `token` become `link`; `expires_at`, in
            Unix time, becomes `until`. Templates also have `project` and `site`, `FRONTEND_URL`.

    Raises:
        ValueError: the recipient is not a valid address, or a value would break a header.
    """
    link = _make_link(context["page"], context.get("token")) if "page" in context else None
    site = settings.FRONTEND_URL
    values = {"project": settings.PROJECT_NAME, "site": site, "link": link, **context}
    if "expires_at" in context:
        values["until"] = _format_time(datetime.fromtimestamp(context["expires_at"], UTC))
    subject, text = _render_text(kind, values)
    name, sender = parseaddr(settings.MAIL_FROM)
    sender, recipient = _to_ascii(sender), _to_ascii(recipient)

    message = EmailMessage(SMTP)
    message["From"] = _parse(sender, name)
    message["To"] = _parse(recipient)
    message["Subject"] = subject
    message["Date"] = written
    message["Message-ID"] = f"<{number}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # prevents out-of-office replies (RFC 3834)
    html = _templates.get_template(f"{kind}.html").render(values)
    message.set_content(text, cte=_choose_encoding(text))
    message.add_alternative(html, subtype="html", cte=_choose_encoding(html))
    return Message(kind, message, sender, recipient, link)


def _make_link(page: str, token: str | None) -> str:
    """Put the token in the fragment, which browsers do not send to servers, so no log has it."""
    fragment = f"#token={token}" if token else ""
    return f"{settings.FRONTEND_URL.rstrip('/')}/{page}{fragment}"


def _format_time(time: datetime) -> str:
    return f"{time.day} {time:%B %Y, %H:%M} UTC"


def _render_text(kind: str, values: Mapping[str, Any]) -> tuple[str, str]:
    head, _, text = _templates.get_template(f"{kind}.txt").render(values).partition("\n\n")
    return head.removeprefix("Subject: "), text.rstrip() + "\n"


def _to_ascii(address: str) -> str:
    """Encode the domain by IDNA 2008. A non-ASCII local part stays and needs SMTPUTF8."""
    if address.isascii():
        return address
    try:
        valid = validate_email(address, check_deliverability=False)
    except EmailNotValidError:
        raise ValueError("the recipient is not a valid e-mail address") from None
    return valid.ascii_email or f"{valid.local_part}@{valid.ascii_domain}"


def _parse(address: str, name: str = "") -> Address:
    local, _, domain = address.rpartition("@")
    try:
        # `addr_spec` accepts only ASCII.
        parts = (
            {"addr_spec": address} if address.isascii() else {"username": local, "domain": domain}
        )
        return Address(name, **parts)
    except MessageError:
        raise ValueError("the recipient or MAIL_FROM is not a valid e-mail address") from None


def _choose_encoding(text: str) -> str:
    """Return 7bit if possible, which keeps links in one piece. Not every server accepts 8bit."""
    plain = text.isascii() and all(len(line) < MAX_LINE_LENGTH for line in text.splitlines())
    return "7bit" if plain else "quoted-printable"
