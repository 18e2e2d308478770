"""Features of a frozen backbone: computed once, kept, and read by training and scoring."""
