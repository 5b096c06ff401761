import sys


def main() -> None:
    """The console script `plinth`."""
    try:
        from plinth.cli.commands import plinth
        from plinth.cli.signals import stop_in_order

        stop_in_order()
        plinth(prog_name="plinth")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "app":
            raise
        sys.exit(f"The Python package {package} is not installed: run `make install`.")
    except Exception as error:
        from plinth.cli.failure import explain

        if not (sentence := explain(error)):
            raise
        sys.exit(sentence)
