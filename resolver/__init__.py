"""Link raw affiliation strings to ROR organisations and keep the links true.

Data flows one way: *dump → organisations → documents → vectors*, and
*affiliation → candidates → scores → decision → links*.
"""

__version__ = "0.1.0"
