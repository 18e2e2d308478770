"""What makes several predictions of one image: a kind is one file with one class; `PASSES` in core lists them."""
