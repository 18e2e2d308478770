"""How an image of a sparse kind, which has a region at every pixel, picks the few that it offers: one file a rule."""
