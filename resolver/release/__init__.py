"""A registry release taken in: loaded, indexed, switched to, and its effects on stored answers."""
