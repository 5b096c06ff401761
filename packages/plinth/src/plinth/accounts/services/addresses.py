"""Accounts whose addresses collide: reported, and never merged."""

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.security.addresses import Plan, canonical, plan_keys


async def plan(db: AsyncSession) -> Plan:
    """Return which accounts collide, and which canonical forms are still to be computed."""
    found = {account.id: account for account in await queries.canonical_address.get_unusual(db)}
    forms = {canonical(account.email) for account in found.values()}
    holders = await queries.canonical_address.get_holders(db, list(forms))
    return plan_keys((found | {account.id: account for account in holders}).values())


async def compute(db: AsyncSession) -> Plan:
    """Write the canonical forms that plain SQL or an older release left out, and return the plan.

    Raises:
        Rejected: somebody registered one of them at this moment. Nothing was written.
    """
    found = await plan(db)
    for account, form in found.changes:
        await queries.canonical_address.set_key(db, account, form)
    return found
