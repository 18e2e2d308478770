"""From a network's output to one value a region."""
