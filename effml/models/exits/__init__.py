"""Early exit of diffusion networks: who stops after which layer, and a forward that really stops there."""
