"""Values and their space: grids, records, filters, resampling, fields as maps."""
