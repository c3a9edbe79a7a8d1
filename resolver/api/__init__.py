"""The package as a library for other programs: texts in, answers or a frame out,
from an index here or from a server.

What it exports is listed in `resolver/__init__.py`; no other package imports it.
"""
