"""Output of simulations, time series and spectra."""
