"""Use a run's model outside the run: predict images, and export the model to a file."""
