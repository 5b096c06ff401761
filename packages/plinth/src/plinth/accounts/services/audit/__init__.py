"""The audit log: events, the hash chain that they form, and how earlier ones are deleted.

recording.py      write an event
verification.py   verify the chain
checkpoints.py    sign the end of the deleted part
pruning.py        delete old events
"""

from plinth.accounts import queries
from plinth.accounts.services.audit.recording import (
    Outcome,
    build_event,
    digest_personal_data,
    record,
)
from plinth.accounts.services.audit.verification import VerificationResult, verify

__all__ = [
    "Outcome",
    "VerificationResult",
    "build_event",
    "digest_personal_data",
    "get_last_id",
    "record",
    "verify",
]

get_last_id = queries.event.get_last_id
