"""Fitting the graph network: pairs with known motion -> samples -> weights."""
