"""The reversible spiking neuron: what it saves, what it costs, how long its inverse holds, and whether it learns."""
