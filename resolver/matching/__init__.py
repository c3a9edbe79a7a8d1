"""One affiliation → candidates → scores → decision → links."""
