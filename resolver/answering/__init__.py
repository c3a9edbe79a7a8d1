"""Resolve affiliations that came in or are due, and store the answers in the database."""
