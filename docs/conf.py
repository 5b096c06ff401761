"""Settings of Sphinx for this site: `make docs` builds it into `dist/docs`."""

from importlib.metadata import version as installed_version

project = "Plinth"
version = release = installed_version("plinth-backend")
extensions = ["myst_parser"]
exclude_patterns: list[str] = []
nitpicky = True

myst_enable_extensions = ["attrs_inline", "colon_fence"]
myst_heading_anchors = 4  # as GitHub makes them, so that a link works in both places

html_theme = "furo"
html_title = f"Plinth {version}"
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
