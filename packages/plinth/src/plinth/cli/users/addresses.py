import asyncio

from plinth.accounts.services import administration
from plinth.cli.connecting import connected, reaching
from plinth.cli.output import out
from plinth.config import settings
from plinth.devservices.service_urls import ServiceUrls, running_services
from plinth.security.addresses import Plan


def run() -> None:
    with running_services(settings) as backing, reaching(backing.database_url):
        plan = asyncio.run(_compute(backing))
    pairs = [(holder, other) for holder, *others in plan.collisions for other in others]
    for holder, other in pairs:
        out.print(
            f"User {other.id} ({other.email}) is found by this spelling alone: "
            f"user {holder.id} ({holder.email}) has the address.",
            markup=False,
        )
    out.print(
        f"Canonical forms computed: {len(plan.changes)}. Accounts that collide: {len(pairs)}."
    )


async def _compute(backing: ServiceUrls) -> Plan:
    async with connected(backing) as database:
        return await database.run_with_retries(administration.compute_canonical_emails)
