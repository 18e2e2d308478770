"""Networks that give feature maps, a file each."""
