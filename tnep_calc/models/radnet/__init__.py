"""The radnet family: dipole and polarizability from convolutions over the voxels around each atom."""
