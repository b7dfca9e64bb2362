"""What runs on a device: sources, detectors, interpreter, pipeline, evaluation."""
