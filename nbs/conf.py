"""Sphinx builds the site from the notebooks as they are committed, without running them:

    pip install -e '.[docs]' && sphinx-build -W --keep-going nbs _docs

What kdnb adds to Sphinx, myst-nb, furo and sphinx-design is in _ext/kdnb_site.py."""
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent/"_ext"), str(Path(__file__).parent.parent)]

project = html_title = "kdnb"
author, copyright, language = "the kdnb authors", "2026 onwards, the kdnb authors", "en"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx-mathjax-offline", "sphinx_design", "kdnb_site"]
exclude_patterns = ["_ext", "**/.*", "experiments/profiles"]
smartquotes_action = "D"

nb_execution_mode = "off"  # the committed outputs are shown
nb_render_markdown_format = "myst"
nb_ipywidgets_js = {}  # nothing is fetched
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist", "attrs_inline"]
myst_dmath_double_inline = True
myst_heading_anchors = 3
suppress_warnings = ["mystnb.unknown_mime_type"]

autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
add_module_names = False
python_maximum_signature_line_length = 72
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_static_path = ["_ext/kdnb.css"]
html_css_files = ["kdnb.css"]
html_copy_source = html_show_sourcelink = False
mathjax3_config = {"options": {"enableMenu": False}}
