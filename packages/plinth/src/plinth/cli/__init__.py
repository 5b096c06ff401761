import os
import sys


def main() -> None:
    """The console script `plinth`."""
    if (here := os.getcwd()) not in sys.path:  # noqa: PTH109 - as text; the application lies there
        sys.path.insert(0, here)
    try:
        from plinth.cli.commands import plinth
        from plinth.cli.signals import stop_in_order

        stop_in_order()
        plinth(prog_name="plinth")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "plinth":
            raise
        sys.exit(f"The Python package {package} is not installed: run `make install`.")
    except Exception as error:
        from plinth.cli.failure import explain

        if not (sentence := explain(error)):
            raise
        sys.exit(sentence)
