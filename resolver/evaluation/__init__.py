"""How good the links are: measured on labelled affiliations, beside other systems."""
