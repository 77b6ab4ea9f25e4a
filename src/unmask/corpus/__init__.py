"""From text to rows: readers, identity, duplicates, tokenizer, shards, packed rows."""
