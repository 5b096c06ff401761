import os
import sys


def main() -> None:
    """The console script `plinth`."""
    # The application is here. At the end, so that no file here replaces a library.
    if (here := os.getcwd()) not in sys.path:  # noqa: PTH109 - sys.path holds text
        sys.path.append(here)
    try:
        from plinth.cli.commands import plinth
        from plinth.cli.signals import stop_in_order

        stop_in_order()
        plinth(prog_name="plinth")
    except ModuleNotFoundError as error:
        from plinth.project import find_package

        package = (error.name or "").partition(".")[0]
        if error.name == find_package():
            sys.exit(f"There is no package {package} here: run this in the application's folder.")
        if package in {"plinth", find_package()}:
            raise
        sys.exit(f"The Python package {package} is not installed: run `make install`.")
    except Exception as error:
        from plinth.cli.failure import explain

        if not (sentence := explain(error)):
            raise
        sys.exit(sentence)
