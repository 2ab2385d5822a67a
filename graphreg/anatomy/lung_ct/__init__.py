"""Lungs in CT: their mask, signs of trouble, ventilation."""
