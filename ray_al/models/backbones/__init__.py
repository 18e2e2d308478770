"""The built-in backbones, which return feature maps, one file each."""
