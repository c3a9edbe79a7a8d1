"""The package as a library for other programs: texts in, answers or a frame out.

What it exports stands in `resolver`; nothing else imports it.
"""
