"""Keras training: networks, recipes, the loop and its plots (dataset to model.keras)."""
