"""Mail: render messages, and send them by SMTP or, in development, write them to files."""

from plinth.mail.delivery import (
    NeverDeliverable,
    NotDelivered,
    describe_transport,
    is_configured,
    send,
)
from plinth.mail.messages import Message, render_message

__all__ = [
    "Message",
    "NeverDeliverable",
    "NotDelivered",
    "describe_transport",
    "is_configured",
    "render_message",
    "send",
]
