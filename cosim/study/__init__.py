"""Studies: variants of one scenario x seeds, simulated, read back as one data set, and compared."""
