"""Changes to an image whose features are kept, a file each."""
