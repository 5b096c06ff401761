"""Rate limits. An attempt is reserved before it is made, in all of its buckets or in none.

The reservation is atomic. A caller that finds the attempt legitimate refunds its reservation.
"""

from plinth.cache import cache
from plinth.limits.limiter import Bucket, Limiter, Reservation

limiter = Limiter(cache)

__all__ = ["Bucket", "Limiter", "Reservation", "limiter"]
