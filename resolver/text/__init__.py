"""Text, and nothing else: normalised, cut into words, segments and parts."""
