import logging
import os

from plinth.cli.server import address, listening, serve_workers
from plinth.config import settings
from plinth.devservices.service_urls import running_services
from plinth.observability import logs

logger = logging.getLogger(__name__)


def run(host: str, port: int, workers: int, *, grace: int) -> None:
    logs.set_up()
    way_out = "choose another with --port."
    with listening(host, port, way_out=way_out) as opened, running_services(settings) as backing:
        # Held here, embedded services start once, and not with each worker.
        os.environ |= backing.as_environment()
        logger.info("Serving on %s, workers: %s", address(opened), workers)
        serve_workers(opened, workers, grace=grace)
