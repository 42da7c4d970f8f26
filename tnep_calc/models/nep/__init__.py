"""NEP and TNEP in plain torch."""
