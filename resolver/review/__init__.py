"""``resolver review``: the page on which people decide about doubtful answers."""
