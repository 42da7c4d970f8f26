"""Training of radnet models: convolutional networks on voxels for polarization and dielectric tensor."""
