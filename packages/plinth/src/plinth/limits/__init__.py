"""Limits: so many attempts in so long, counted before the attempt is made.

An attempt is reserved in all its buckets or in none, in one step that no other comes between. Who
finds that it was no attack gives back that reservation, and nothing else.
"""

from plinth.cache import cache
from plinth.limits.bucket import Bucket
from plinth.limits.limiter import Limiter, Reservation

limiter = Limiter(cache)

__all__ = ["Bucket", "Limiter", "Reservation", "limiter"]
