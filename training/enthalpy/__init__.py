"""Training of electric-enthalpy models: precomputed densities, the optimizer SOAP, and one loss over all labels."""
