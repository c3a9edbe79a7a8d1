"""``python -m resolver.cli`` is the ``resolver`` command."""

from resolver.cli import main

main()
