"""The memberships and invitations of users, for the export and the erasure of accounts."""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries as accounts
from plinth.accounts.schemas.from_columns import ExportedMembership, ExportedUser
from plinth.accounts.services import administration
from plinth.accounts.services.administration import ErasureResult
from plinth.accounts.user_columns import COLUMNS
from plinth.organizations import queries
from plinth.security.addresses import canonical

BATCH_SIZE = 1000


async def add_memberships(
    db: AsyncSession, users: AsyncIterator[ExportedUser]
) -> AsyncIterator[ExportedUser]:
    """Yield exported users with their memberships, which are read for a batch of users at a time.

    Args:
        db: the transaction of the export.
    """
    batch: list[ExportedUser] = []
    async for user in users:
        batch.append(user)
        if len(batch) == BATCH_SIZE:
            await _fill(db, batch)
            for filled in batch:
                yield filled
            batch = []
    await _fill(db, batch)
    for filled in batch:
        yield filled


async def erase_user(db: AsyncSession, user_id: int) -> ErasureResult:
    """Erase an account with its memberships, and the invitations that were sent to its address.

    Raises:
        Conflict: `last_owner`: the message names the organizations that would have no owner.
        PlinthError: as `administration.erase`.
    """
    user = await accounts.user.get(db, user_id)
    if user is not None:
        await queries.invitation.remove_to(db, canonical(user.email))
    return await administration.erase(db, user_id)


async def _fill(db: AsyncSession, users: Sequence[ExportedUser]) -> None:
    memberships: dict[int, list[ExportedMembership]] = defaultdict(list)
    for user_id, slug, role in await queries.organization.export(db, [it.id for it in users]):
        memberships[user_id].append(ExportedMembership(organization=slug, role=role))
    for user in users if "memberships" not in COLUMNS else ():  # a column of the application
        user.memberships = memberships[user.id]
