"""What the links are worth: measured on labelled affiliations, beside other systems."""
