"""The built-in heads, which turn feature maps into logits, one file each."""
