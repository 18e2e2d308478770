"""Images -> regions: the units that are queried and labelled. A kind is one file with one class; `REGIONS` in core lists them."""
