"""Predictions of trained models against labels, and reports about training runs."""
