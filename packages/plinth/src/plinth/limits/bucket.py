from dataclasses import dataclass
from typing import NamedTuple, Self

from pydantic_core import to_json

from plinth.rates import Rate, parse_rate
from plinth.security.signing import Signer

_signer = Signer("plinth limits")


class Bucket(NamedTuple):
    """The attempts that one limit counts together, such as those from one address.

    Attributes:
        name: name of the limit, also in responses.
        key: an HMAC, so that it reveals no e-mail or IP address.
    """

    name: str
    rate: Rate
    key: str

    @classmethod
    def of(cls, name: str, rate: str, *parts: str) -> Self:
        """
        Args:
            rate: as in a setting: `5/5m`.
            parts: values that identify the bucket among those of this name.
        """
        digest = _signer.sign(to_json([name, *parts])).hex()[:32]
        return cls(name, parse_rate(rate), f"{name}:{digest}")

    def stricter(self) -> Self:
        return self._replace(rate=Rate(max(1, self.rate.limit // 2), self.rate.seconds))

    def times(self, factor: int) -> Self:
        return self._replace(rate=Rate(self.rate.limit * factor, self.rate.seconds))


@dataclass(frozen=True, slots=True)
class Decision:
    """
    Attributes:
        waits: for each bucket, seconds until it accepts an attempt. If all are zero, the attempt is
            reserved.
        is_first: this is the first refusal of a full bucket within its window.
    """

    waits: list[float]
    is_first: bool = False
