"""File formats: models, data sets, simulation output, time series and spectra."""
