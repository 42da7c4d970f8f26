"""Training of the electric-enthalpy family: precomputed densities, SOAP, one loss on all labels."""
