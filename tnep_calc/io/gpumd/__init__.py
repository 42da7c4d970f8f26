"""GPUMD's files: models, training input, training structures and results."""
