"""Graph of Thoughts, measured on real models at equal budget."""
