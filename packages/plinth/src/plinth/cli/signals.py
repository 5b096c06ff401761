"""SIGTERM and a closed terminal end a command as Ctrl-C does: what it started is stopped first."""

import signal
from types import FrameType
from typing import NoReturn

ENDING = (signal.SIGTERM, signal.SIGHUP) if hasattr(signal, "SIGHUP") else (signal.SIGTERM,)


class Stopped(SystemExit):
    """Somebody asked the process to end."""


def stop_in_order() -> None:
    for number in ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup's SIG_IGN stays
            signal.signal(number, _stop)


def _stop(number: int, _: FrameType | None) -> NoReturn:
    for other in ENDING:
        signal.signal(other, signal.SIG_IGN)  # asking again must not break off the stopping
    raise Stopped(128 + number)
