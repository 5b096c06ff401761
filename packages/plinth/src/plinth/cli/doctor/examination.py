import asyncio

from plinth.cli.connecting import set_up_logs
from plinth.cli.doctor import (
    Finding,
    addresses,
    broken,
    database,
    ejected,
    factors,
    machine,
    mail,
    redis,
    roles,
    tables,
    values,
)
from plinth.config import settings
from plinth.devservices import EmbeddedError
from plinth.devservices.service_urls import ServiceUrls, running_services


def examine(workers: int) -> list[Finding]:
    set_up_logs()
    findings = [check(settings) for check in (*values.CHECKS, *machine.CHECKS, ejected.check)]
    try:
        with running_services(settings) as services:
            findings += asyncio.run(_examine_services(services, workers))
    except EmbeddedError as error:
        findings.append(
            broken("embedded services", str(error), "Or set DATABASE_URL and REDIS_URL.")
        )
    return findings


async def _examine_services(services: ServiceUrls, workers: int) -> list[Finding]:
    return [
        await machine.check_password_hashing(settings),
        *await database.examine(services.database_url, settings, workers),
        *await roles.examine(services, settings),
        await redis.check(services.redis_url),
        *await mail.examine(services.database_url, settings),
        *await addresses.examine(services.database_url, settings),
        *await factors.examine(services.database_url, settings),
        *await tables.examine(services.database_url, settings),
    ]
