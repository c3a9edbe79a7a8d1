"""Figures that the documentation quotes; one command each, never part of the tests."""
