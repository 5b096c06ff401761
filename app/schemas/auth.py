"""Bodies of the sign-in routes."""

from plinth.core.tokens import AccessToken as TokenPayload
from plinth.schemas.auth import Credentials as LoginRequest
from plinth.schemas.auth import RefreshRequest as RefreshTokenRequest
from plinth.schemas.auth import TokenPair as Token

__all__ = ["LoginRequest", "RefreshTokenRequest", "Token", "TokenPayload"]
