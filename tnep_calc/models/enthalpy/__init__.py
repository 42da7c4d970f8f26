"""The electric enthalpy in plain torch."""
