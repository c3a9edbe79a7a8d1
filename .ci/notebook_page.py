"""Write docs/notebook.md to stdout: docs/notebook.ipynb with its outputs, as a page of the site.

.venv/bin/python .ci/notebook_page.py > docs/notebook.md

The notebook itself is run, and kept with what it printed, by

.venv/bin/jupyter nbconvert --to notebook --inplace --execute \\
    --ExecutePreprocessor.record_timing=False docs/notebook.ipynb

beside a demo (`make demo`) and its server (`resolver --home .demo serve`).
"""

from __future__ import annotations

import re
from pathlib import Path

from nbconvert import MarkdownExporter

NOTEBOOK = Path(__file__).parent.parent / "docs/notebook.ipynb"

# The site has its own style for tables.
STYLE = re.compile(r'<style.*?</style>\n?| border="1" class="dataframe"| style="[^"]*"', re.DOTALL)


def page() -> str:
    text, _ = MarkdownExporter().from_filename(str(NOTEBOOK))
    lines = (line.rstrip() for line in STYLE.sub("", text).splitlines())
    return re.sub(r"\n{4,}", "\n\n", "\n".join(lines)).strip("\n")


if __name__ == "__main__":
    print(page())
