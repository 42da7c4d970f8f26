"""Files of simulation output, time series and spectra."""
