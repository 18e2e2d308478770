"""Labels: the questions asked about regions, the annotators that answer, and the cost."""
