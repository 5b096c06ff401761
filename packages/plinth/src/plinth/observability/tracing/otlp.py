"""Record spans and send them with OTLP over HTTP, in batches, from a separate thread.

The SDK reads further options from the environment: OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER,
OTEL_RESOURCE_ATTRIBUTES, OTEL_BSP_SCHEDULE_DELAY and others.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from threading import Thread

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from plinth.config import settings
from plinth.observability.tracing import tracing

SHUTDOWN_SECONDS = 3  # to send the remaining spans when the process ends


@asynccontextmanager
async def sending_traces(endpoint: str) -> AsyncIterator[None]:
    """
    Args:
        endpoint: URL of the collector, without `/v1/traces`.
    """
    exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")
    provider = TracerProvider(resource=_describe_service(), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)  # for the spans of a team: trace.get_tracer(__name__)
    tracing.tracer = provider.get_tracer("app")
    try:
        yield
    finally:
        tracing.tracer = None
        await asyncio.to_thread(_close, provider, exporter)


def _describe_service() -> Resource:
    return Resource.create(
        {
            "service.name": os.environ.get("OTEL_SERVICE_NAME") or settings.PROJECT_NAME,
            "service.version": settings.VERSION,
            "deployment.environment.name": settings.ENVIRONMENT,
        }
    )


def _close(provider: TracerProvider, exporter: OTLPSpanExporter) -> None:
    # An unreachable collector would delay the shutdown for half a minute.
    closing = Thread(target=provider.shutdown, daemon=True)
    closing.start()
    closing.join(SHUTDOWN_SECONDS)
    if closing.is_alive():
        exporter.shutdown()  # type: ignore[no-untyped-call]
