"""Budget units, one file each."""
