"""Boards as data, and the means to reach them."""
