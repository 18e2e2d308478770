"""Ways to learn from pixels that nobody labelled, a file each."""
