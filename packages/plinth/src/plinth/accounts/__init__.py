"""Accounts: users, their sessions and their credentials.

An application subclasses `BaseUser` once, in its `models/user.py`.

The functions work in the caller's transaction and do not commit, so they can be combined. Only
`sign_in` takes a `Database`, since it holds no connection while it hashes the password.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from plinth.accounts.base_user import BaseUser

if TYPE_CHECKING:
    from plinth.accounts.services.accounts import get_user, list_users, register, update_profile
    from plinth.accounts.services.administration import change_user, delete_user
    from plinth.accounts.services.sessions import SignedIn, complete_sign_in, sign_in
    from plinth.accounts.services.throttle import limit_registration

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

_MODULES = {
    "SignedIn": "services.sessions",
    "change_user": "services.administration",
    "delete_user": "services.administration",
    "get_user": "services.accounts",
    "limit_registration": "services.throttle",
    "list_users": "services.accounts",
    "complete_sign_in": "services.sessions",
    "register": "services.accounts",
    "sign_in": "services.sessions",
    "update_profile": "services.accounts",
}

if not TYPE_CHECKING:  # a type checker would accept any name

    def __getattr__(name: str) -> object:
        """Import a function on first use: the models import this package before the services."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
