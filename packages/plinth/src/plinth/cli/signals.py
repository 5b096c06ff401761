"""Handle SIGTERM and SIGHUP like Ctrl-C: a command stops what it has started before it exits."""

import signal
from types import FrameType
from typing import NoReturn

ENDING = (signal.SIGTERM, signal.SIGHUP) if hasattr(signal, "SIGHUP") else (signal.SIGTERM,)


class Stopped(SystemExit):
    """The process received a signal to stop."""


def stop_in_order() -> None:
    for number in ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:  # keep the SIG_IGN of nohup
            signal.signal(number, _stop)


def _stop(number: int, _: FrameType | None) -> NoReturn:
    for other in ENDING:
        signal.signal(other, signal.SIG_IGN)  # a second signal must not interrupt the cleanup
    raise Stopped(128 + number)
