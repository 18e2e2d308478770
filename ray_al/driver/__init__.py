"""The only loop: decide, perform, append; and its hosts."""
