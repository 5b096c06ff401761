"""A change from a page: one verb, one transaction, committed before the answer. What refuses it is
told where the page shows refusals."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette_admin.exceptions import ActionFailed, FormValidationError

from plinth.db.database import release
from plinth.errors import InvalidField, PlinthError


@asynccontextmanager
async def acting(request: Request) -> AsyncIterator[AsyncSession]:
    """For a button.

    Raises:
        ActionFailed
    """
    try:
        async with _transaction(request) as db:
            yield db
    except PlinthError as refusal:
        raise ActionFailed(refusal.detail) from refusal


@asynccontextmanager
async def saving(request: Request, *, blame: str) -> AsyncIterator[AsyncSession]:
    """For a form.

    Args:
        blame: the field that a refusal is shown at which names none.

    Raises:
        FormValidationError
    """
    try:
        async with _transaction(request) as db:
            yield db
    except ValidationError as error:
        raise FormValidationError(
            {str(detail["loc"][0]): detail["msg"] for detail in error.errors()}
        ) from error
    except InvalidField as refusal:
        raise FormValidationError({refusal.field: refusal.reason}) from refusal
    except PlinthError as refusal:
        raise FormValidationError({blame: refusal.detail}) from refusal


@asynccontextmanager
async def _transaction(request: Request) -> AsyncIterator[AsyncSession]:
    await release(request.state.session)  # one connection at a time is enough for a request
    async with request.state.resources.database.transaction() as db:
        yield db
