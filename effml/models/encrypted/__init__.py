"""Inference on CKKS-encrypted skeletons. Needs numpy and one of two libraries; knows neither torch nor any experiment."""
