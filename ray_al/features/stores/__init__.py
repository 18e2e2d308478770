"""Places where features are kept, a file each."""
