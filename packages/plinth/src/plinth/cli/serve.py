import logging
import os

from plinth.cli.server import address, listening, serve_workers
from plinth.config import settings
from plinth.devservices.service_urls import running_services
from plinth.observability import logs

logger = logging.getLogger(__name__)


def run(host: str, port: int, workers: int, *, grace: int) -> None:
    logs.set_up()
    hint = "choose another one with --port."
    with listening(host, port, hint=hint) as opened, running_services(settings) as services:
        # The parent process owns embedded services, so that not each worker starts its own.
        os.environ |= services.as_environment()
        logger.info("Serving on %s, workers: %s", address(opened), workers)
        serve_workers(opened, workers, grace=grace)
