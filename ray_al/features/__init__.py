"""Features of a frozen backbone: computed once, stored, and read by training and scoring."""
