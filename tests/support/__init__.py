"""What several tests use: servers, models made small, data made up."""
