"""ROR's own API, version 2: a program that was written for api.ror.org works with another address.

`RorApi` answers parsed parameters and knows no web framework; `routes` puts it behind FastAPI, and
`door` puts the matcher of a server behind it. docs/ror-api.md says what is the
same as with ROR, and what is not.
"""
