"""Files of GPUMD: models, training input, training structures and results."""
