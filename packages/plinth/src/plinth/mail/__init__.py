"""Mail: render messages, and send them by SMTP or, in development, write them to files."""

from plinth.mail.errors import NeverDeliverable, NotDelivered
from plinth.mail.messages import Message, render_message
from plinth.mail.post import describe_transport, is_configured, send

__all__ = [
    "Message",
    "NeverDeliverable",
    "NotDelivered",
    "describe_transport",
    "is_configured",
    "render_message",
    "send",
]
