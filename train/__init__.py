"""Keras training: networks, recipes, the loop and its plots (dataset to model.keras)."""

import os

# Both are read when TensorFlow is imported, which importing any module of this package may do.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# TensorFlow leaves oneDNN off on processors without AVX-512; there it trains twice as fast.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
