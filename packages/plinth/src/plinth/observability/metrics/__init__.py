"""The figures that Prometheus collects: docs/how-to/observability.md says what each is for.

What happens is counted here, for the whole process, whether or not somebody collects it. What is,
such as the connections in use, is read when it is asked for (`collectors.py`). A label only has
values that the code chooses, so that no client can make the figures grow.
"""

from prometheus_client import Counter, Gauge, Histogram

REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
QUERY_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)

request_seconds = Histogram(
    "plinth_http_request_duration_seconds",
    "From a request's arrival until the last byte of its answer was handed to the server.",
    ["method", "route", "status"],
    buckets=REQUEST_SECONDS,
    registry=None,
)
requests_in_progress = Gauge(
    "plinth_http_requests_in_progress", "Requests that have no whole answer yet.", registry=None
)
query_seconds = Histogram(
    "plinth_db_query_duration_seconds",
    "SQL statements, for one request, or for the process: look-ups that requests share, the mail "
    "worker, health.",
    ["origin"],
    buckets=QUERY_SECONDS,
    registry=None,
)
pool_waiting = Gauge(
    "plinth_db_pool_waiting", "Tasks that asked for a connection and have none yet.", registry=None
)
pool_wait_seconds = Histogram(
    "plinth_db_pool_wait_seconds",
    "How long getting a connection took, making a new one included.",
    buckets=QUERY_SECONDS,
    registry=None,
)
password_queue = Gauge(
    "plinth_password_queue", "Passwords being hashed, or waiting for it.", registry=None
)
password_refusals = Counter(
    "plinth_password_refusals", "Sign-ins refused with 503, as the queue was full.", registry=None
)
cache_lookups = Counter(
    "plinth_cache_lookups", "Looks into the cache that got an answer.", ["result"], registry=None
)
cache_failures = Counter(
    "plinth_cache_failures",
    "Calls to Redis that failed or took too long (error), or were not made, since it was known to "
    "be away (spared). The limits' calls are among them.",
    ["reason"],
    registry=None,
)
limits_hit = Counter(
    "plinth_limits_hit", "Attempts refused with 429, by limit.", ["limit"], registry=None
)

INSTRUMENTS = (
    request_seconds,
    requests_in_progress,
    query_seconds,
    pool_waiting,
    pool_wait_seconds,
    password_queue,
    password_refusals,
    cache_lookups,
    cache_failures,
    limits_hit,
)

# Series that are there from the start: a rate over one that appears with its first event misses it.
cache_hits, cache_misses = cache_lookups.labels("hit"), cache_lookups.labels("miss")
cache_errors, cache_spared = cache_failures.labels("error"), cache_failures.labels("spared")
queries_of_requests, other_queries = (
    query_seconds.labels("request"),
    query_seconds.labels("process"),
)
