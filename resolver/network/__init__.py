"""URLs, certificates and retries: what every client of a server shares."""
