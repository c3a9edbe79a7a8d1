"""Answers: affiliations that came in or are due → outcomes in the database."""
