"""Sphinx's settings for the course's site. `make site` prepares the pages, then calls Sphinx."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

project = "LoRA Lessons"
author = "The LoRA Lessons authors"
copyright = "the LoRA Lessons authors, Apache-2.0"
extensions = [
    "myst_nb",
    "sphinx_design",
    "mathml",
    "finish",
]
html_theme = "sphinx_book_theme"
html_title = "LoRA Lessons"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_copy_source = False
html_show_sourcelink = False
html_math_renderer = "mathml"
html_theme_options = {
    "use_download_button": False,
    "use_fullscreen_button": False,
    "navbar_persistent": [],
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "home_page_in_toc": True,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
# The outputs that are stored are shown: nothing is executed.
nb_execution_mode = "off"
nb_merge_streams = True
nb_code_prompt_show = "Show the result (guess first)"
nb_code_prompt_hide = "Hide the result"
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
html_extra_path = ["extra"]  # the learner's notebooks, to download
exclude_patterns = ["extra"]
suppress_warnings = ["myst.header"]
