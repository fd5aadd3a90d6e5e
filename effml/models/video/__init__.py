"""Text to video over discrete tokens (FlashVideo, arXiv 2401.00869): tokenizers, language models, sampling, interpolation."""
