"""Bodies of the sign-in routes."""

from plinth.accounts.schemas.auth import Credentials as LoginRequest
from plinth.accounts.schemas.auth import RefreshRequest as RefreshTokenRequest
from plinth.accounts.schemas.auth import TokenPair as Token
from plinth.security.tokens import AccessToken as TokenPayload

__all__ = ["LoginRequest", "RefreshTokenRequest", "Token", "TokenPayload"]
