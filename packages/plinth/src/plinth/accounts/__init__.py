"""Accounts: users, their sessions and their credentials.

An application subclasses `BaseUser` once, in its `models/user.py`.

The functions work in the caller's transaction and do not commit, so they can be combined. Only
`sign_in` takes a `Database`, since it holds no connection while it hashes the password.
"""

from typing import TYPE_CHECKING

from plinth import import_on_use
from plinth.accounts.base_user import BaseUser

if TYPE_CHECKING:
    from plinth.accounts.services.accounts import get_user, list_users, register, update_profile
    from plinth.accounts.services.administration import change_user, delete_user
    from plinth.accounts.services.sessions import SignedIn, complete_sign_in, sign_in
    from plinth.accounts.services.throttle import limit_registration
else:  # the models import this package before the services
    __getattr__ = import_on_use(
        __name__,
        {
            "SignedIn": "accounts.services.sessions",
            "change_user": "accounts.services.administration",
            "complete_sign_in": "accounts.services.sessions",
            "delete_user": "accounts.services.administration",
            "get_user": "accounts.services.accounts",
            "limit_registration": "accounts.services.throttle",
            "list_users": "accounts.services.accounts",
            "register": "accounts.services.accounts",
            "sign_in": "accounts.services.sessions",
            "update_profile": "accounts.services.accounts",
        },
    )

__all__ = [
    "BaseUser",
    "SignedIn",
    "change_user",
    "complete_sign_in",
    "delete_user",
    "get_user",
    "limit_registration",
    "list_users",
    "register",
    "sign_in",
    "update_profile",
]
