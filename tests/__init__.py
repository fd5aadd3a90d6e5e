"""Tests, mirroring `effml/`. A package so that `tests.triton_aot` never resolves to another distribution's `tests`."""
