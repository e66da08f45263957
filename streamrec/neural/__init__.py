"""The neural ranker: what it reads, the network in torch, the same without torch, its versions."""
