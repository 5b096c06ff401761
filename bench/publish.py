"""Copy the tables and plots of a run from DATA_DIR/bench/results to the documentation.

make -C packages/plinth bench && python -m bench.publish [--results FOLDER]

The page is docs/explanation/performance.md.
"""

import argparse
import shutil
from pathlib import Path

from bench.report import PLOTS
from bench.targets import ROOT
from plinth.config import settings

BEGIN, END = "<!-- the run: python -m bench.publish -->", "<!-- the end of the run -->"


def publish(results: Path, page: Path) -> None:
    """
    Raises:
        ValueError: the page does not have the two markers.
    """
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} must have the lines {BEGIN} and {END}")
    shown = []
    for plot, title in PLOTS.items():
        name = f"{page.stem}-{plot}"
        shutil.copyfile(results / plot, page.with_name(name))
        shown.append(f"![{title}]({name})")
    tables = (results / "results.md").read_text().strip()
    page.write_text("\n\n".join([f"{before}{BEGIN}", *shown, tables, f"{END}{after}"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    folder = settings.DATA_DIR / "bench" / "results"
    parser.add_argument("--results", type=Path, default=folder)
    publish(parser.parse_args().results, ROOT / "docs/explanation/performance.md")


if __name__ == "__main__":
    main()
