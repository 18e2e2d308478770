"""What the variants of each family promise, a module each, with the built-in kinds."""
