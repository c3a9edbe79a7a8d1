"""URLs, certificates and repeated requests, for all clients of servers."""
