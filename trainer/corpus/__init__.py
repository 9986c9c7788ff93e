"""From crate sources to batches of tokens: documents, tokenizer, token files, windows. Uses no torch."""
