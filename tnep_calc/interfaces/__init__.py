"""Models inside other simulation programs: i-PI and other servers of its protocol, TorchSim, metatomic."""
