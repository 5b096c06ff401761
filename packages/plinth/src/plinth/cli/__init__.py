import os
import sys


def main() -> None:
    """Run the console script `plinth`."""
    # Make the application importable. At the end, so that no file here shadows a library.
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
            sys.exit(
                f"No package {package} in this folder: run the command in the project's folder."
            )
        if package in {"plinth", find_package()}:
            raise
        sys.exit(f"The Python package {package} is not installed: run `make install`.")
    except Exception as error:
        from plinth.cli.failure import message_for

        if not (message := message_for(error)):
            raise
        sys.exit(message)
