"""What turns feature maps into logits, a file each."""
