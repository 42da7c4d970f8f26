"""Training of the radnet family: voxel networks for polarization and dielectric tensor."""
