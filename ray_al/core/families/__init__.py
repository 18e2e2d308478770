"""What the variants of each family promise, one module a family, and the table of built-in kinds."""
