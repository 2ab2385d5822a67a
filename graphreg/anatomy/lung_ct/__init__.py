"""Lungs in CT: their mask, signs of trouble, ventilation."""

PICTURE_WINDOW = (-1000.0, 200.0)  # HU
