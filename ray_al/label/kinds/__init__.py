"""Label kinds, one file each."""
