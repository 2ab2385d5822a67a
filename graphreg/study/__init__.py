"""Many registrations at once: a data set in, a folder per case out, with errors, tables and comparisons."""
