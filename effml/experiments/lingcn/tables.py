"""Metrics and tables of the suites on ciphertexts. Standard library only."""

from __future__ import annotations

from effml.experiments.core.spec import Metric, Table

_NET = ("dataset", "model", "method", "n", "backend")
_RUN = "effml run lingcn --preset encrypted --dataset {dataset}"
_ORDER = {"method": ["node", "all-polynomial", "cryptogcn"], "backend": ["sealapi", "pyfhel"]}

METRICS = (
    Metric("modulus_bits", "1", "bits of the modulus, key-switching prime included", better="lower"),
    Metric("limit_bits", "1", "most bits at 128-bit security for the ring"),
    Metric("ring", "1", "N, degree of the polynomials; N/2 slots"),
    Metric("scale_bits", "1", "bits of the scale"),
    Metric("batch", "1", "sequences that one set of ciphertexts carries"),
    Metric("secure", "1", "1 where the modulus is within the limit of 128-bit security", better="higher"),
    Metric(
        "rotations", "1", "key switches by a Galois key in one inference, workers' doubles included", better="lower"
    ),
    Metric("plain_products", "1", "products of a ciphertext and a plaintext", better="lower"),
    Metric("cipher_products", "1", "products of two ciphertexts", better="lower"),
    Metric("additions", "1", "additions of ciphertexts and plaintexts", better="lower"),
    Metric("encodes", "1", "plaintexts encoded", better="lower"),
    Metric("sequence_seconds", "s", "time over the sequences of one set of ciphertexts", better="lower"),
    Metric("cpu_seconds", "s", "processor time of all processes", better="lower"),
    Metric("peak_bytes", "B", "most memory of the server and its workers at once", better="lower"),
    Metric("sent_bytes", "B", "sequences as they go to the server", better="lower"),
    Metric("received_bytes", "B", "logits as they come back", better="lower"),
    Metric("key_bytes", "B", "public, relinearisation and rotation keys, once for each client", better="lower"),
    Metric("error_max", "1", "largest difference of a logit from the plain network's", better="lower"),
    Metric("difference_max", "1", "largest difference of a logit from the first library's", better="lower"),
    Metric("agreement", "1", "share of clear sequences whose encrypted answer is the plain one", better="higher"),
    Metric("clear", "1", "sequences whose two highest plain logits are more than 0.02 apart"),
    Metric("unclear", "1", "the other sequences"),
    Metric("predicted_seconds", "s", "time that counts and a few seconds of timing predict", better="lower"),
    Metric("predicted_cpu", "s", "the same for processor time", better="lower"),
    Metric("predicted_over_measured", "1", "predicted processor time over measured"),
    Metric("key_switching", "1", "share of the predicted time in rotations and relinearisations"),
    Metric("sequence_speedup", "x", "speedup of one sequence: larger rings carry more of them", better="higher"),
    Metric("cpu_speedup", "x", "speedup by processor time", better="higher"),
    Metric("bytes", "B", "size of what is made or sent; for evaluate, most memory", better="lower"),
    Metric("formula_bytes", "B", "(L + 1) (L + 2) 16 N, and 8 N for the index of keys", better="lower"),
    Metric("over_plain_product", "x", "time over that of a plain product"),
)

TABLES = (
    Table("parameters", "Parameters of encrypted inference, chosen before any key is made", rows=_NET,
          metrics=("levels", "scale_bits", "modulus_bits", "limit_bits", "ring", "secure", "batch"), digits=6, order=_ORDER,
          fill=_RUN + " encrypt.targets=[{n}]"),
    Table("encrypted", "Encrypted inference, client and server in two processes", rows=_NET,
          metrics=("seconds", "sequence_seconds", "cpu_seconds", "peak_bytes", "key_bytes", "sent_bytes", "received_bytes",
                   "error_max", "difference_max", "agreement", "clear", "unclear"),
          order=_ORDER, fill=_RUN + " encrypt.targets=[{n}]",
          note="cryptogcn keeps all polynomials, folds nothing and has one node a ciphertext; agreement leaves out sequences "
               "whose two highest plain logits are within 0.02."),
    Table("operations", "Homomorphic operations of an encrypted inference", rows=_NET, of="encrypted",
          metrics=("levels", "rotations", "plain_products", "cipher_products", "additions", "encodes"), digits=6,
          order=_ORDER, fill=_RUN + " encrypt.targets=[{n}]", note="Of one set of ciphertexts."),
    Table("speedup", "All polynomials kept and unfused, over this", rows=("faster", "slower"),
          metrics=("speedup", "cpu_speedup", "sequence_speedup"), fill="effml run lingcn --preset encrypted encrypt.across=true",
          note="speedup is of one set of ciphertexts. The paper's rows are of 3-128 and, twice the channels, of 3-256 over "
               "3-128: its 14.2 compares two backbones."),
    Table("estimate", "Predicted from counts and five seconds of timing", rows=("model", "method", "n", "workers"),
          metrics=("predicted_seconds", "seconds", "predicted_cpu", "cpu_seconds", "predicted_over_measured", "key_switching"),
          order=_ORDER, fill="effml run lingcn --preset encrypted",
          note="3-128 T256 is a projection, of as many sequences as a set of ciphertexts carries; the paper's seconds are of one "
               "sequence on one thread of a Threadripper."),
    Table("micro", "Single operations at the top level, one process", rows=("ring", "levels", "operation"), columns="backend",
          metrics=("seconds", "over_plain_product", "bytes", "formula_bytes"), fill="effml run lingcn suite=micro",
          note="Both libraries are Microsoft SEAL. Sizes are of files; tenseal.sealapi compresses them, Pyfhel does not."),
    Table("serve", "An encrypted inference step by step", rows=(*_NET, "side", "step"),
          metrics=("seconds", "bytes", "error_max"), fill=_RUN + " suite=serve",
          order={"step": ["make keys", "read keys", "encrypt sequences", "read sequences", "evaluate", "write logits",
                          "decrypt logits", "compare"]}),
)  # fmt: skip
