"""Hooks for Schemathesis: authentication, and valid values of `cursor`."""

import os
from typing import Any

import httpx2
import schemathesis
from hypothesis import strategies

API = os.environ["FUZZED_API"]
ACCOUNT = {"username": os.environ["FUZZ_EMAIL"], "password": os.environ["FUZZ_PASSWORD"]}
CLIENT = httpx2.Client()

# Only the server creates valid cursors; tests/kit has tests of invalid ones.
schemathesis.openapi.format("cursor", strategies.nothing())


@schemathesis.auth(refresh_interval=None)
class SignedIn:
    """Sign in again after a request has ended the session, which may happen at any time."""

    token = "none"

    def get(self, _case: Any, _context: Any) -> str:
        headers = {"Authorization": f"Bearer {self.token}"}
        if CLIENT.get(f"{API}/users/me", headers=headers).status_code != 200:
            self.token = CLIENT.post(f"{API}/auth/token", data=ACCOUNT).json()["access_token"]
        return self.token

    def set(self, case: Any, data: str, _context: Any) -> None:
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}
