import asyncio

from plinth.accounts.services import administration
from plinth.cli.connecting import connected, database_errors
from plinth.cli.output import out
from plinth.config import settings
from plinth.devservices.service_urls import ServiceUrls, running_services
from plinth.security.addresses import Plan


def run() -> None:
    with running_services(settings) as services, database_errors(services.database_url):
        plan = asyncio.run(_compute(services))
    pairs = [(holder, other) for holder, *others in plan.collisions for other in others]
    for holder, other in pairs:
        out.print(
            f"User {other.id} ({other.email}) can only sign in with this spelling, because user "
            f"{holder.id} ({holder.email}) has the same address.",
            markup=False,
        )
    out.print(f"Addresses computed: {len(plan.changes)}. Accounts that collide: {len(pairs)}.")


async def _compute(services: ServiceUrls) -> Plan:
    async with connected(services) as database:
        return await database.run_with_retries(administration.compute_canonical_emails)
