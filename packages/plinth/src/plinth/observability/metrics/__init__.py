"""The Prometheus metrics of the process (docs/how-to/observability.md).

Events are counted here even if no server collects them. Current values, such as connections in use,
are read at collection (`health/figures.py`). Clients cannot choose the values of labels, so the
number of series is bounded.
"""

from prometheus_client import Counter, Gauge, Histogram

REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
QUERY_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)

request_seconds = Histogram(
    "plinth_http_request_duration_seconds",
    "Time from the arrival of a request until its response was passed to the server.",
    ["method", "route", "status"],
    buckets=REQUEST_SECONDS,
    registry=None,
)
requests_in_progress = Gauge(
    "plinth_http_requests_in_progress", "Requests without a complete response.", registry=None
)
query_seconds = Histogram(
    "plinth_db_query_duration_seconds",
    "SQL statements of a request, or of the process: queries that requests share, the mail worker, "
    "health checks.",
    ["origin"],
    buckets=QUERY_SECONDS,
    registry=None,
)
pool_waiting = Gauge("plinth_db_pool_waiting", "Tasks that wait for a connection.", registry=None)
pool_wait_seconds = Histogram(
    "plinth_db_pool_wait_seconds",
    "Time to acquire a connection, including new connections.",
    buckets=QUERY_SECONDS,
    registry=None,
)
password_queue = Gauge(
    "plinth_password_queue", "Passwords that are hashed or wait for it.", registry=None
)
password_refusals = Counter(
    "plinth_password_refusals",
    "Sign-ins refused with 503: the queue was full.",
    registry=None,
)
cache_lookups = Counter(
    "plinth_cache_lookups", "Cache lookups that Redis answered.", ["result"], registry=None
)
cache_failures = Counter(
    "plinth_cache_failures",
    "Calls to Redis that failed or timed out (error), or were skipped while Redis was down "
    "(spared). Includes the calls of rate limits.",
    ["reason"],
    registry=None,
)
limits_hit = Counter(
    "plinth_limits_hit", "Attempts refused with 429, by limit.", ["limit"], registry=None
)
retention_deleted = Counter(
    "plinth_retention_deleted",
    "Old rows that this process deleted, by table.",
    ["table"],
    registry=None,
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
    retention_deleted,
)

# Create these series at the start: `rate` misses the first event of a new series.
cache_hits, cache_misses = cache_lookups.labels("hit"), cache_lookups.labels("miss")
cache_errors, cache_spared = cache_failures.labels("error"), cache_failures.labels("spared")
queries_of_requests, other_queries = (
    query_seconds.labels("request"),
    query_seconds.labels("process"),
)
