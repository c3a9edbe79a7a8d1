"""The guide to deciding: Markdown of the site, or ours."""

from __future__ import annotations

from pathlib import Path

from markdown_it import MarkdownIt
from markupsafe import Markup

from resolver.errors import SettingsError

GUIDE = Path(__file__).parent / "guide.md"


def read_guide(path: Path | None) -> Markup:
    """The guide as HTML. HTML within the Markdown is shown as text.

    Raises:
        SettingsError: it cannot be read.
    """
    try:
        text = (path or GUIDE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"RESOLVER_REVIEW_GUIDE: {path} cannot be read: {error}") from error
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    return Markup(markdown.render(text))  # noqa: S704 - it makes text of all HTML in it
