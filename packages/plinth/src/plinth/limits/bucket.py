from typing import NamedTuple, Self

from pydantic_core import to_json

from plinth.rates import Rate, parse_rate
from plinth.security.signing import Signer

_marker = Signer("plinth limits")


class Bucket(NamedTuple):
    """What one limit counts together, such as the attempts from one address.

    Attributes:
        name: the limit's, and the one that clients are told.
        key: nobody reads an e-mail or an address from it.
    """

    name: str
    rate: Rate
    key: str

    @classmethod
    def of(cls, name: str, rate: str, *parts: str) -> Self:
        """
        Args:
            rate: as the settings have it, `5/5m`.
            parts: what tells this bucket from others of its name.
        """
        mark = _marker.sign(to_json([name, *parts])).hex()[:32]
        return cls(name, parse_rate(rate), f"{name}:{mark}")

    def stricter(self) -> Self:
        return self._replace(rate=Rate(max(1, self.rate.limit // 2), self.rate.seconds))

    def times(self, factor: int) -> Self:
        return self._replace(rate=Rate(self.rate.limit * factor, self.rate.seconds))
