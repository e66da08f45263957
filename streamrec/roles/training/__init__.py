"""The parts of `train`: what it reads, and the versions that it stores."""
