"""TFLite conversion: quantize, calibrate, compare, describe (model.keras to model.tflite)."""
