"""What is asked about regions, who answers it, and what it costs."""
