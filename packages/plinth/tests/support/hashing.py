import threading


class Held:
    """Work that blocks a hashing thread until `release`."""

    def __init__(self) -> None:
        self._go_on = threading.Event()
        self.begun = 0

    def work(self) -> str:
        self.begun += 1
        self._go_on.wait(30)
        return "done"

    def release(self) -> None:
        self._go_on.set()
