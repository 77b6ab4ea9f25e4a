"""Understanding tasks as plain data: formats of files, tag schemes, decoding and metrics. Needs no torch."""
