"""The built-in layouts of data sets, one file each."""
