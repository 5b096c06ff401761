from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """
    Attributes:
        waits: for each bucket the seconds until it has room. All zero: the attempt is reserved.
        is_first: a bucket is full, and nobody was refused for it within the last window.
    """

    waits: list[float]
    is_first: bool = False
