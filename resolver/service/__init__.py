"""The parts that the settings name, put together and opened."""
