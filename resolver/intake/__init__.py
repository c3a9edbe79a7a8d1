"""What comes in: files and messages → records of affiliations."""
