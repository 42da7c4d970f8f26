"""What tests share: data, models, runs of other programs; no test imports a test."""
