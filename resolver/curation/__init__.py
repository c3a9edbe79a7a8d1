"""Curators' decisions, and what they work on: overrides, and names that the registry lacks."""
