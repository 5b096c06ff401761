"""Settings of Sphinx for this site: `make docs` builds it into `dist/docs`."""

import os
import sys
from importlib import import_module
from importlib.metadata import version as installed_version
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
os.chdir(HERE.parent)  # the library finds the application, and with it the user model, from here
os.environ["LOG_LEVEL"] = "ERROR"
# autodoc would import them with `TYPE_CHECKING` set. The plugin ignores this machine's settings.
for module in ("plinth.testing.plugin", "app.main"):
    import_module(module)
for module in map(import_module, ("plinth.accounts", "plinth.http")):  # import names on first use
    vars(module).update({name: getattr(module, name) for name in module.__all__})

project = "Plinth"
version = release = installed_version("plinth-backend")
extensions = ["generated", "myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
default_role = "literal"  # for single backticks in docstrings

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_use_ivar = True

myst_enable_extensions = ["attrs_inline", "colon_fence"]
myst_heading_anchors = 4  # as GitHub makes them, so that a link works in both places

html_theme = "furo"
html_title = f"Plinth {version}"
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
