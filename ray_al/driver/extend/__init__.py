"""Extend a run that has begun: other images, further classes, another budget."""
