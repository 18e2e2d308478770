"""Running sweeps: settings times seeds, as trials on Ray Tune."""
